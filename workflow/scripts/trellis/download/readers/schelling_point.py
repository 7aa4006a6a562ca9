"""Web and encyclopedia passages: rows whose key "0" is a passage and "1" to "10" are the same sentences shuffled.

Only the original is a document; see `schelling_point_copies` for the shuffled ones.
"""

from collections.abc import Iterator

from pydantic import Field

from trellis.download.archive import Archive, Raw, Row


class Passage(Row):
    original: str | None = Field(alias="0")


def read(archive: Archive) -> Iterator[Raw]:
    for member in archive.members:
        for native_id, row in archive.rows(member, Passage):
            yield Raw(native_id, row.original)
