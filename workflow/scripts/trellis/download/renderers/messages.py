"""A conversation, turn by turn: UltraChat."""

from typing import Any

from trellis.download.archive import Raw, Row
from trellis.download.renderers import scalars


class Message(Row):
    role: str
    content: str | None


class Shape(Row):
    messages: list[Message] | None
    prompt_id: Any = None


def render(native_id: str, row: Shape) -> Raw | str:
    said = [(turn.role.upper(), (turn.content or "").strip()) for turn in row.messages or []]
    text = "\n\n".join(f"{role}: {content}" for role, content in said if content)
    return Raw(native_id, text or None, scalars(origin=row.prompt_id))
