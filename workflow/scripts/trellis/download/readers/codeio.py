"""Python programs, each under its task as a comment; `meta` carries the dataset's own integer scores, where a row has them."""

import textwrap
from collections.abc import Iterator

from trellis.download.archive import Archive, Raw, Row

SCORES = ("educational", "clarity", "practice", "difficulty")


class Program(Row):
    task_description: str
    code_sample: str | None
    educational: int | None = None
    clarity: int | None = None
    practice: int | None = None
    difficulty: int | None = None


def read(archive: Archive) -> Iterator[Raw]:
    for member in archive.members:
        for native_id, row in archive.rows(member, Program):
            scores = {name: getattr(row, name) for name in SCORES if getattr(row, name) is not None}
            yield Raw(native_id, _render(row), scores)


def _render(row: Program) -> str | None:
    if row.code_sample is None:
        return None
    task = textwrap.fill(row.task_description, 100, initial_indent="# ", subsequent_indent="# ")
    return f"{task}\n\n{row.code_sample}"
