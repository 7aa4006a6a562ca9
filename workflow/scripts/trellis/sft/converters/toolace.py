"""ToolACE: tools as a JSON array within the system's text, and calls written [Name(a=1, b="x"), Other Name()].

Names of tools and parameters may hold spaces, dots and slashes, so they are recognised by the tools that are offered; the
values are Python literals, which are read as data. The system's other words explain the format and are left out.
"""

import json
import re
from typing import Any

from pydantic import ValidationError

from trellis.chat import answer_json
from trellis.sft.conversation import Message, Shape, Turn, finished
from trellis.sft.literals import read_literal
from trellis.sft.tools import read_tools
from trellis.tool_calls import calls_json, system_turn

ROLES = {"user", "assistant", "tool"}
TOOLS = re.compile(r"\[\s*\{")
# What was meant as calls: none, or to tools that nobody offered.
CALLS = re.compile(r"\[\s*\]$|\[[^\[\](){}\"'\n]+\(")
BRACKETS = {"(": ")", "[": "]", "{": "}"}


class Row(Shape):
    system: str
    conversations: list[Turn]


def convert(row: Any) -> list[Message] | str:
    """A conversation with tools."""
    try:
        given = Row.model_validate(row)
    except ValidationError:
        return "malformed"
    if {turn.role for turn in given.conversations} - ROLES:
        return "other_role"
    try:
        tools = read_tools(_listed(given.system))
    except ValueError:
        return "bad_tools"
    made = [system_turn(tools)]
    for turn in given.conversations:
        content = turn.value.strip()
        if turn.role == "tool":
            content = answer_json(_results(content))
        elif turn.role == "assistant" and _is_call(content, tools):
            try:
                content = calls_json(_read_calls(content, tools), tools)
            except ValueError:
                return "bad_call"
        made.append({"role": turn.role, "content": content})
    return finished(made)


def _listed(system: str) -> Any:
    start = TOOLS.search(system)
    if not start:
        raise ValueError("no tools")
    try:
        _, end = json.JSONDecoder().raw_decode(system, start.start())
    except RecursionError:
        raise ValueError("nested too deep") from None
    return read_literal(system[start.start() : end])


def _results(content: str) -> list[Any]:
    try:
        value = read_literal(content)
    except ValueError:
        value = content
    return value if isinstance(value, list) else [value]


def _is_call(content: str, tools: list[dict[str, Any]]) -> bool:
    """Whether an answer is calls, or holds one among words (which cannot be read)."""
    return bool(CALLS.match(content)) or any(
        f"[{tool['name']}(" in content or content.startswith(f"{tool['name']}(") for tool in tools
    )


def _read_calls(text: str, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls of `[Name(parameter=value, ...), ...]`. Raises ValueError for anything else."""
    parameters = {tool["name"]: list(tool["parameters"]["properties"]) for tool in tools}
    calls, at = [], _after(text, 0, "[")
    while True:
        name, at = _known(text, at, parameters, "(")
        arguments: dict[str, Any] = {}
        if text[at : at + 1] == ")":
            at = _after(text, at, ")")
        while text[at - 1] != ")":
            parameter, at = _known(text, at, parameters[name], "=")
            end = _value_end(text, at)
            if parameter in arguments:
                raise ValueError(f"{parameter} is given twice")
            arguments[parameter] = read_literal(text[at:end])
            at = end + 1
        calls.append({"name": name, "arguments": arguments})
        at = _skip(text, at)
        if text[at:] == "]":
            return calls
        at = _after(text, at, ",")


def _known(text: str, at: int, names: Any, mark: str) -> tuple[str, int]:
    """The longest of `names` that stands here with `mark` behind it, and the place after that."""
    at = _skip(text, at)
    for name in sorted(names, key=len, reverse=True):
        if text.startswith(name, at) and text.startswith(mark, end := _skip(text, at + len(name))):
            return name, _skip(text, end + 1)
    raise ValueError(f"nothing known at {text[at : at + 40]!r}")


def _value_end(text: str, at: int) -> int:
    """Where the comma or the bracket stands that ends the value beginning here."""
    closing: list[str] = []
    quote = ""
    while at < len(text):
        character = text[at]
        if quote:
            if character == "\\":
                at += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif not closing and character in ",)":
            return at
        elif character in BRACKETS:
            closing.append(BRACKETS[character])
        elif character in ")]}" and (not closing or closing.pop() != character):
            break
        at += 1
    raise ValueError("a value that does not end")


def _after(text: str, at: int, mark: str) -> int:
    if not text.startswith(mark, at):
        raise ValueError(f"no {mark} at {text[at : at + 40]!r}")
    return at + 1


def _skip(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at
