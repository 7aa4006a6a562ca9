"""Plain conversations (SmolTalk): messages [{role, content}] of system, user and assistant."""

from typing import Any

from pydantic import ValidationError

from trellis.sft.conversation import Message, Shape, finished

ROLES = {"system", "user", "assistant"}


class Said(Shape):
    role: str
    content: str


class Row(Shape):
    messages: list[Said]


def convert(row: Any) -> list[Message] | str:
    """The conversation as it is."""
    try:
        messages = Row.model_validate(row).messages
    except ValidationError:
        return "malformed"
    if {said.role for said in messages} - ROLES:
        return "other_role"
    return finished([{"role": said.role, "content": said.content} for said in messages])
