"""A GitHub issue of StarCoderData: its title as a heading, then who says what.

The text is `<issue_start>`, then comments, each after `<issue_comment>`, with `<issue_closed>` where it was closed; the
first begins with `Title: ...`, and the speakers are `username_0`, `username_1` and so on.
"""

import re
from typing import Any

from trellis.download.archive import Raw, Row
from trellis.download.renderers import scalars

MARK = re.compile(r"(<issue_(?:start|comment|closed)>)")
TITLE = re.compile(r"\s*Title: *([^\n]*)")
SPEAKER = re.compile(r"\busername_(\d+)\b")


class Shape(Row):
    content: str | None
    repo: Any = None
    issue_id: Any = None
    issue_number: Any = None


def render(native_id: str, row: Shape) -> Raw | str:
    meta = scalars(repo=row.repo, origin=row.issue_id, number=row.issue_number)
    return Raw(native_id, row.content if row.content is None else _thread(row.content), meta)


def _thread(content: str) -> str:
    blocks: list[str] = []
    for piece in MARK.split(content):
        if piece == "<issue_closed>":
            blocks.append("Issue closed.")
        elif not MARK.fullmatch(piece):
            if not blocks and (title := TITLE.match(piece)):
                blocks.append(f"# {title[1].strip()}")
                piece = piece[title.end() :]
            if piece.strip():
                blocks.append(SPEAKER.sub(r"User \1", piece.strip()))
    return "\n\n".join(blocks)
