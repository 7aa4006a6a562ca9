"""A source file of StarCoderData; its language is the name of the folder that the data file lies in.

Some folders begin a file with what its columns say as well (`<reponame>`, `<filename>`, `<gh_stars>`): that is cut off.
"""

import re
from typing import Any

from trellis.download.archive import Raw, Row
from trellis.download.renderers import scalars

MARKS = re.compile(r"(?:<(?:reponame|filename|gh_stars)>[^<\n]*\n?)+")


class Shape(Row):
    content: str | None
    max_stars_repo_name: Any = None
    max_stars_repo_path: Any = None
    max_stars_count: Any = None
    id: Any = None


def render(native_id: str, row: Shape) -> Raw | str:
    meta = scalars(
        language="".join(native_id.split("/")[-2:-1]),
        repo=row.max_stars_repo_name,
        path=row.max_stars_repo_path,
        stars=row.max_stars_count,
        origin=row.id,
    )
    return Raw(native_id, row.content if row.content is None else without_marks(row.content), meta)


def without_marks(content: str) -> str:
    """The file as it was in its repository."""
    mark = MARKS.match(content)
    return content[mark.end() :] if mark else content
