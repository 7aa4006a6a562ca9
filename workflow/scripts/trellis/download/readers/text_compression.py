"""A web mixture with known noise: short texts of eight types, two of them random characters and random words on purpose.

`meta.type` is the truth for whoever tests a filter or a classifier. A type that is not listed here is not allowed.
"""

from collections.abc import Iterator

from pydantic import Field

from trellis.download.archive import Archive, Raw, Row

LICENCES = {
    "c4": "ODC-BY-1.0",
    "openwebtext": "CC0-1.0",
    "oscar": "CC0-1.0",
    "wikipedia": "CC-BY-SA-3.0 AND GFDL-1.3",
    "codeparrot/github-code": "MIT",
    "Abirate/english_quotes": "CC-BY-4.0",
    "RandomCharAndNumberDataset": "MIT",
    "RandomWordsDataset": "MIT",
}


class Sample(Row):
    text: str | None
    kind: str = Field(alias="type")


def read(archive: Archive) -> Iterator[Raw]:
    for member in archive.members:
        for native_id, row in archive.rows(member, Sample):
            if row.kind in LICENCES:
                yield Raw(native_id, row.text, {"type": row.kind}, LICENCES[row.kind])
            else:
                archive.reject("not_allowed")
