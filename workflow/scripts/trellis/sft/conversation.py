"""What every converter shares: the shape of a row, and the form in which a conversation is trained on."""

import re
import unicodedata

from pydantic import BaseModel, ConfigDict, Field

from trellis.documents import END_OF_TEXT

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

    Where the loss falls is checked against the contents, so these are made such that a tokenizer gives them back: in NFC,
    which some normalise to; and without outer space, of which the first would share a token with the line of the role.
    """
    made = [{**message, "content": _plain(message["content"])} for message in messages]
    if not made or not all(message["content"] for message in made):
        return "empty"
    return made if ORDER.fullmatch("".join(message["role"][0] for message in made)) else "bad_order"


def _plain(content: str) -> str:
    # A space in its place: what stands around a token must not make another one.
    return unicodedata.normalize("NFC", content).replace(END_OF_TEXT, " ").strip()
