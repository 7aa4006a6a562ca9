"""A Jupyter notebook of StarCoderData, made a script by jupytext: without the header and the marks between cells.

The folder's columns are not those of the source files.
"""

import re
from typing import Any

from trellis.download.archive import Raw, Row
from trellis.download.renderers import scalars
from trellis.download.renderers.code_file import without_marks

HEADER = re.compile(r"(?:#[^\n]*\n)*?# ---\n# jupyter:\n(?:#[^\n]*\n)*?# ---\n")
# A mark stands alone or has the cell's metadata beside it; a comment `# - item` is the notebook's own.
CELL = re.compile(r"^# (?:[+-]|\+ (?:\{.*|[\w.-]+=.*)|%%.*)$\n?", re.MULTILINE)


class Shape(Row):
    content: str | None
    repo_name: Any = None
    path: Any = None
    max_stars_repo_name: Any = None
    max_stars_repo_path: Any = None


def render(native_id: str, row: Shape) -> Raw | str:
    meta = scalars(repo=row.max_stars_repo_name or row.repo_name, path=row.max_stars_repo_path or row.path)
    return Raw(native_id, row.content if row.content is None else _script(row.content), meta)


def _script(content: str) -> str:
    content = without_marks(content.replace("\r\n", "\n")).lstrip()
    header = HEADER.match(content)
    return re.sub(r"\n{3,}", "\n\n", CELL.sub("", content[header.end() :] if header else content))
