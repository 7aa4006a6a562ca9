"""Planted near-duplicates: the first sentence-shuffled copy (key "1") of about every tenth passage, chosen by hash.

The true answer to what deduplication should find: `meta.copy_of` is the original's native id.
"""

from collections.abc import Iterator

import xxhash
from pydantic import Field

from trellis.download.archive import Archive, Raw, Row

ONE_IN = 10


class Variants(Row):
    shuffled: str | None = Field(alias="1")


def read(archive: Archive) -> Iterator[Raw]:
    for member in archive.members:
        for native_id, row in archive.rows(member, Variants):
            if xxhash.xxh3_64_intdigest(native_id.encode()) % ONE_IN == 0:
                yield Raw(f"{native_id}:1", row.shuffled, {"copy_of": native_id})
