"""Glaive function calling v2: two texts, `system` with function definitions one after the other, and `chat` with turns that
begin with USER:, ASSISTANT: and FUNCTION RESPONSE:.

A call is `<functioncall> {"name": ..., "arguments": '{...}'}`: the arguments are JSON in single quotes inside JSON.
"""

import itertools
import re
from typing import Any

from pydantic import ValidationError

from trellis.chat import answer_json
from trellis.documents import END_OF_TEXT
from trellis.sft.conversation import Message, Shape, finished
from trellis.sft.literals import read_literal
from trellis.sft.tools import read_tools
from trellis.tool_calls import calls_json, system_turn

TURN = re.compile(r"(?:^|\n)\s*(USER|ASSISTANT|FUNCTION RESPONSE):")
ROLES = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}
CALL = re.compile(
    r"""<functioncall>\s*\{\s*"name"\s*:\s*"(?P<name>[^"]+)"\s*,\s*"arguments"\s*:\s*(?P<arguments>.+)\}\s*""", re.S
)
DEFINITION = re.compile(r"^\{", re.M)


class Row(Shape):
    system: str
    chat: str


def convert(row: Any) -> list[Message] | str:
    """A conversation, with tools where the system's text defines functions."""
    try:
        made = Row.model_validate(row)
    except ValidationError:
        return "malformed"
    tools = []
    if "{" in made.system:
        try:
            tools = read_tools(_definitions(made.system))
        except ValueError:
            return "bad_tools"
    messages = [system_turn(tools)] if tools else []
    marks = list(TURN.finditer(made.chat))
    for mark, following in itertools.zip_longest(marks, marks[1:]):
        end = following.start() if following else len(made.chat)
        role, content = ROLES[mark[1]], made.chat[mark.end() : end].replace(END_OF_TEXT, "").strip()
        if role == "assistant" and "<functioncall>" in content:
            try:
                content = calls_json([_call(content)], tools)
            except ValueError:
                return "bad_call"
        elif role == "tool":
            content = answer_json([_result(content)])
        messages.append({"role": role, "content": content})
    return finished(messages)


def _definitions(system: str) -> list[Any]:
    """The definitions, each of which opens at the beginning of a line; the first may follow the system's words."""
    text = system[system.index("{") :]
    starts = [match.start() for match in DEFINITION.finditer(text)]
    return [read_literal(text[a:b].strip()) for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]


def _call(content: str) -> dict[str, Any]:
    match = CALL.fullmatch(content[content.index("<functioncall>") :])
    if not match:
        raise ValueError("a call in another form")
    arguments = match["arguments"].strip()
    if arguments[:1] == arguments[-1:] == "'":
        # An apostrophe inside is escaped for the quotes, which JSON does not know.
        arguments = arguments[1:-1].replace("\\'", "'")
    return {"name": match["name"], "arguments": read_literal(arguments)}


def _result(content: str) -> Any:
    try:
        return read_literal(content)
    except ValueError:
        return content
