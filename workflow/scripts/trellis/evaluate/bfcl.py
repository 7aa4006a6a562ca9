"""BFCL's single-turn questions in Python, as the wheel of bfcl-eval holds them; nothing of that package is imported.

An entry is {id, question (a list of one conversation), function (a list of {name, description, parameters})}. BFCL writes
types in Python's words; a tool of our protocol has JSON Schema's, as BFCL's own table (GORILLA_TO_OPENAPI) has it.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

from trellis.errors import TrellisError

# By what is right: certain calls, any call, no call. Those in Java and JavaScript, whose arguments are code, are left out.
CALLS = (
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
)
ANY_CALL = ("live_relevance",)
NO_CALL = ("irrelevance", "live_irrelevance")
CATEGORIES = (*CALLS, *ANY_CALL, *NO_CALL)
TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
# Twice as many as the longest right answer makes: a grammar without an end would be followed up to max_new_tokens.
MOST_CALLS = 16
# The Python types that JSON Schema's words for scalars stand for.
SCALARS = {"string": str, "integer": int, "number": int | float, "boolean": bool}


def read_entries(wheel: Path, category: str) -> list[dict[str, Any]]:
    """The entries of a category. Raises TrellisError when the wheel has none."""
    return _lines(wheel, f"BFCL_v4_{category}.json")


def read_answers(wheel: Path, category: str) -> dict[str, list[dict[str, Any]]]:
    """By entry, the calls that are right: [{name: {parameter: [acceptable values]}}]; "" says that none is needed."""
    return {row["id"]: row["ground_truth"] for row in _lines(wheel, f"possible_answer/BFCL_v4_{category}.json")}


def as_tool(function: dict[str, Any]) -> dict[str, Any]:
    """A function as a prompt offers it, with everything that its author said."""
    return {
        "name": function["name"],
        "description": function["description"],
        "parameters": _json_schema(function["parameters"]),
    }


def answer_schema(tools: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of an answer that calls some of the tools."""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool["name"]}, "arguments": closed(tool["parameters"])},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    return {"type": "array", "minItems": 1, "maxItems": MOST_CALLS, "items": {"anyOf": calls}}


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """What a parameter's schema says of values: without words for people, every object that names properties has no
    others, and a choice that its own type rules out (numbers among strings, items of an array) is none."""
    made = {key: value for key, value in schema.items() if key not in ("description", "default")}
    kind = SCALARS.get(schema["type"], ())
    if not all(isinstance(value, kind) for value in schema.get("enum", ())):
        del made["enum"]
    if "properties" in schema:
        made["properties"] = {name: closed(child) for name, child in schema["properties"].items()}
        made["additionalProperties"] = False
    if "items" in schema:
        made["items"] = closed(schema["items"])
    return made


def _json_schema(node: dict[str, Any]) -> dict[str, Any]:
    """`optional` is none of JSON Schema's words, and `required` tells it already."""
    made = {key: value for key, value in node.items() if key != "optional"} | {
        "type": TYPES.get(node["type"], node["type"])
    }
    if "properties" in node:
        made["properties"] = {name: _json_schema(child) for name, child in node["properties"].items()}
    if "items" in node:
        made["items"] = _json_schema(node["items"])
    return made


def _lines(wheel: Path, name: str) -> list[dict[str, Any]]:
    with zipfile.ZipFile(wheel) as archive:
        try:
            content = archive.read(f"bfcl_eval/data/{name}").decode("utf-8")
        except KeyError:
            raise TrellisError(
                f"{wheel.name} holds no bfcl_eval/data/{name}: the pinned version is not the one that is read"
            ) from None
    return [json.loads(line) for line in content.splitlines() if line.strip()]
