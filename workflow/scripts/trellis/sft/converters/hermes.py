"""Hermes function calling: conversations [{from, value}] with tools, calls and results in tags, and JSON mode.

The system's turn lists tools in <tools> or a schema in <schema> (which may also stand in the first question). Calls stand
in <tool_call>, results in <tool_response>; all of it is JSON or a Python dict. The system's other words explain the tags
and are left out, as are words beside a call.
"""

from typing import Any

import jsonschema_rs
from pydantic import ValidationError

from trellis.chat import answer_json
from trellis.schema_tasks import prompt
from trellis.sft.conversation import Message, Shape, Turn, finished
from trellis.sft.literals import read_literal
from trellis.sft.tools import read_tools
from trellis.tool_calls import calls_json, in_order, system_turn

ROLES = {"system": "system", "human": "user", "gpt": "assistant", "tool": "tool"}


class Row(Shape):
    conversations: list[Turn]


def convert(row: Any) -> list[Message] | str:
    """A conversation with tools, or one in JSON mode."""
    try:
        turns = Row.model_validate(row).conversations
    except ValidationError:
        return "malformed"
    if {turn.role for turn in turns} - ROLES.keys():
        return "other_role"
    messages = [{"role": ROLES[turn.role], "content": turn.value} for turn in turns]
    system = messages.pop(0)["content"] if messages and messages[0]["role"] == "system" else ""
    # The system's words name the empty tags, too.
    tools = [block for block in _tagged(system, "tools") if block.strip()]
    return _with_tools(messages, tools[0]) if tools else _json_mode(system, messages)


def _with_tools(messages: list[Message], listed: str) -> list[Message] | str:
    try:
        tools = read_tools(read_literal(listed))
    except ValueError:
        return "bad_tools"
    made = [system_turn(tools)]
    for message in messages:
        content = message["content"]
        if message["role"] == "tool":
            content = answer_json([_result(block) for block in _tagged(content, "tool_response") or [content]])
        elif message["role"] == "assistant" and "<tool_call>" in content:
            try:
                content = calls_json(_calls(content), tools)
            except ValueError:
                return "bad_call"
        made.append({**message, "content": content})
    return finished(made)


def _calls(content: str) -> list[Any]:
    blocks = _tagged(content, "tool_call")
    if len(blocks) < content.count("<tool_call>"):
        raise ValueError("a tag that does not end")
    # Some newlines around a call are written as backslash and n.
    values = [read_literal(block.strip().removeprefix("\\n").removesuffix("\\n")) for block in blocks]
    return [call for value in values for call in (value if isinstance(value, list) else [value])]


def _result(block: str) -> Any:
    try:
        return read_literal(block)
    except ValueError:
        return block.strip()


def _json_mode(system: str, messages: list[Message]) -> list[Message] | str:
    if not messages:
        return "empty"
    question = messages[0]["content"]
    schemas = _tagged(system, "schema") or _tagged(question, "schema")
    try:
        schema = read_literal(schemas[-1]) if schemas else None
        validator = jsonschema_rs.validator_for(schema, validate_formats=True, retriever=_refuse)
    except ValueError:
        return "bad_schema"
    if not isinstance(schema, dict):
        return "bad_schema"
    (task,) = prompt(schema, question.replace(f"<schema>{schemas[-1]}</schema>", "").strip())
    made = [{**messages[0], "content": task["content"]}]
    for message in messages[1:]:
        content = message["content"]
        if message["role"] == "assistant":
            try:
                answer = read_literal(content)
            except ValueError:
                return "bad_json"
            if not validator.is_valid(answer):
                return "schema_invalid"
            content = answer_json(in_order(answer, schema))
        made.append({**message, "content": content})
    return finished(made)


def _tagged(text: str, tag: str) -> list[str]:
    """What stands between the tags that are closed."""
    parts = (part.partition(f"</{tag}>") for part in text.split(f"<{tag}>")[1:])
    return [inside for inside, closed, _ in parts if closed]


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not looked up")
