"""What every converter shares: the shape of a row, and the form in which a conversation is trained on."""

import re
import unicodedata

from pydantic import BaseModel, ConfigDict, Field

Message = dict[str, str]

# By the roles' first letters: a user asks, the assistant answers, perhaps after tools that it called.
ORDER = re.compile(r"s?(?:ua(?:t+a)*)+")


class Shape(BaseModel):
    """What a converter expects of a row; keys that it does not name are ignored, types are not coerced."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Turn(Shape):
    """A turn where roles are called `from` and contents `value`."""

    role: str = Field(alias="from")
    value: str


def finished(messages: list[Message]) -> list[Message] | str:
    """The conversation, or `empty` (it or one of its turns), or `bad_order`.

    Contents are in NFC, which tokenizers normalise to, so that what was trained on can be compared with them; and without
    outer space, of which the first would share a token with the line of the role.
    """
    made = [{**message, "content": unicodedata.normalize("NFC", message["content"].strip())} for message in messages]
    if not made or not all(message["content"] for message in made):
        return "empty"
    return made if ORDER.fullmatch("".join(message["role"][0] for message in made)) else "bad_order"
