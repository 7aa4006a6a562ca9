"""Tool calls in conversations: one protocol, for fine-tuning and for evaluation.

| turn | content |
|---|---|
| system | a line that says how to answer, and a line with the tools: a JSON array of {name, description, parameters} |
| assistant | a JSON array of {name, arguments}, every call that can be made now; or words, where no tool helps |
| tool | a JSON array of what the calls returned |

`parameters` is the JSON Schema of an object. JSON is spelt by `chat.answer_json`, and a call's arguments stand in the order
of the tool's properties, so that a call has one spelling.
"""

from typing import Any

from trellis.chat import answer_json

INSTRUCTION = 'Answer with a JSON array of calls [{"name":...,"arguments":{...}}] to these tools, or in words:'


def system_turn(tools: list[dict[str, Any]]) -> dict[str, str]:
    """The message that offers the tools."""
    return {"role": "system", "content": f"{INSTRUCTION}\n{answer_json(tools)}"}


def calls_json(calls: Any, tools: list[dict[str, Any]]) -> str:
    """The assistant's turn that makes the calls. Raises ValueError unless they are a non-empty list of {name, arguments}
    to tools that are offered, with parameters that these have."""
    if not isinstance(calls, list) or not calls:
        raise ValueError("no calls")
    offered = {tool["name"]: tool["parameters"] for tool in tools}
    made = []
    for call in calls:
        match call:
            case {"name": str(name), "arguments": dict(arguments)} if name in offered:
                if unknown := arguments.keys() - offered[name].get("properties", {}).keys():
                    raise ValueError(f"{name} has no parameter {min(unknown)}")
                made.append({"name": name, "arguments": in_order(arguments, offered[name])})
            case _:
                raise ValueError(f"not a call to one of the tools: {call!r:.100}")
    return answer_json(made)


def in_order(value: Any, schema: Any) -> Any:
    """A JSON value with its objects' keys in the order of the schema's properties, and those it does not name behind."""
    schema = schema if isinstance(schema, dict) else {}
    if isinstance(value, list):
        return [in_order(item, schema.get("items")) for item in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    keys = [key for key in properties if key in value] + [key for key in value if key not in properties]
    return {key: in_order(value[key], properties.get(key)) for key in keys}
