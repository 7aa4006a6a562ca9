"""JSON Schemas and tool signatures inside texts, told apart by what they ask for and not by how they are written.

Word n-grams are weak on JSON: another order of keys, other descriptions or other names hide a schema from them.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

PROPERTIES = re.compile(r'"properties"\s*:\s*\{')
ARGUMENTS = re.compile(r'"(?:parameters|input_?schema|inputSchema|arguments)"\s*:\s*$')
BRACES = re.compile(r"[{}]")
DECODER = json.JSONDecoder()
# Objects of more characters between their start and their properties are not looked for.
REACH = 20_000
# Nor are objects of more levels.
DEEPEST = 64
# After so many that are no JSON, a text is taken for a program.
FAILURES = 200
# What a schema asks for are names, types and limits. Not counted: words for people, and what one collection writes out
# and another leaves to the default.
SILENT = {
    *("title", "description", "$comment", "comment", "examples", "example", "default", "$schema", "$id", "deprecated"),
    *("readOnly", "writeOnly", "required", "additionalProperties", "strict", "optional"),
}
NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
# Function-calling collections write the types of Python, Java and JavaScript where JSON Schema has one.
TYPES = {
    **{"dict": "object", "hashmap": "object", "list": "array", "tuple": "array", "arraylist": "array"},
    **{"str": "string", "int": "integer", "long": "integer", "float": "number", "double": "number", "bool": "boolean"},
}
LIMITS = {
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
}


@dataclass(frozen=True)
class Fingerprint:
    """One schema: `tool` is the name of the function whose arguments it describes, "" where it is none; an `inner` one is
    part of another."""

    schema: dict[str, Any]
    tool: str
    inner: bool

    def exact(self, least: float) -> list[str]:
        """The schema with its names, alone and under its tool's name, where these hold at least so many bits."""
        spelled = _spelled(_form(self.schema, names=True))
        tool = f"{_plain(self.tool)} {spelled}"
        keys = [(self.bits, spelled), (self.bits + _name_bits(self.tool), tool)]
        return [key for bits, key in keys if bits >= least]

    @cached_property
    def structure(self) -> str:
        """The schema without its names: the same however its properties are called."""
        return _spelled(_form(self.schema, names=False))

    @cached_property
    def properties(self) -> frozenset[str]:
        """Every name in it, without its spelling, with its type."""
        return frozenset(f"{_plain(name)}:{_type(child)}" for name, child in _properties(self.schema))

    @cached_property
    def structure_bits(self) -> float:
        """About how many bits the structure holds: how unlikely an unrelated schema is to share it."""
        return _bits(self.schema)

    @cached_property
    def bits(self) -> float:
        """The same of structure and names together."""
        return self.structure_bits + sum(_name_bits(entry.split(":")[0]) for entry in self.properties)


def find_schemas(text: str) -> list[Fingerprint]:
    """The schemas with properties in a text, also those inside others; none for a text without JSON. JSON that stands in a
    JSON string is read as well."""
    if '"properties' not in text:
        return []
    found = list(_find(text))
    if '\\"properties\\"' in text:
        found += _find(text.replace('\\"', '"'))
    return found


def _find(text: str) -> Iterator[Fingerprint]:
    """Decodes each object that has properties; what lies inside a decoded object is read from that object."""
    objects: list[tuple[int, int, dict[str, Any]]] = []
    failures = 0
    for match in PROPERTIES.finditer(text):
        if not objects or match.start() >= objects[-1][1]:
            start = _opening(text, match.start())
            decoded = _decoded(text, start)
            if decoded is None:
                failures += 1
                if failures == FAILURES:
                    break
            else:
                # It holds those before it that began after it did.
                objects = [each for each in objects if each[0] < start]
                objects.append((start, decoded[1], decoded[0]))
    for start, _, schema in objects:
        for node in _nodes(schema):
            if isinstance(node.get("properties"), dict) and node["properties"]:
                outer = node is schema
                yield Fingerprint(node, _tool(text, start) if outer else "", not outer)


def _decoded(text: str, start: int) -> tuple[dict[str, Any], int] | None:
    """The object that starts there and where it ends; None where no JSON does."""
    if start < 0:
        return None
    try:
        value, end = DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return (value, end) if _depth(value) <= DEEPEST else None


def _opening(text: str, position: int) -> int:
    """Where the innermost object around a position opens, -1 where that is nowhere near."""
    depth = 0
    for brace in reversed(list(BRACES.finditer(text, max(position - REACH, 0), position))):
        depth += 1 if brace[0] == "}" else -1
        if depth < 0:
            return brace.start()
    return -1


def _tool(text: str, start: int) -> str:
    """The name beside the arguments that open at `start`."""
    if not ARGUMENTS.search(text, max(start - 40, 0), start):
        return ""
    decoded = _decoded(text, _opening(text, start))
    name = decoded[0].get("name") if decoded else None
    return name if isinstance(name, str) else ""


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value, itself first."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)


def _depth(value: Any) -> int:
    """How many objects and lists lie in each other."""
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, (dict, list))]:
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
        depth += 1
    return depth


def _properties(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for node in _nodes(schema):
        if isinstance(node.get("properties"), dict):
            yield from node["properties"].items()


def _form(node: Any, names: bool) -> Any:
    """What is compared: a schema without what is silent, with or without names."""
    if isinstance(node, list):
        return [_form(item, names) for item in node]
    if not isinstance(node, dict):
        return node
    form: dict[str, Any] = {}
    for key, value in node.items():
        if key in NAMED and isinstance(value, dict):
            children = {name: _form(child, names) for name, child in value.items()}
            form[key] = children if names else sorted(children.values(), key=_spelled)
        elif key == "type":
            form[key] = _type(node)
        elif key == "enum" and isinstance(value, list):
            form[key] = sorted(map(_spelled, value))
        elif key == "$ref":
            form[key] = value if names else ""
        elif key not in SILENT:
            form[key] = value if key == "const" else _form(value, names)
    return form


def _bits(node: Any) -> float:
    """Bits by our own estimate: strings are the commonest type, a literal says more than a limit, and since the order of
    properties says nothing, the number of their orders is taken off."""
    if not isinstance(node, dict):
        return 0.0
    bits = 1.0 if _type(node) == "string" else 3.0
    for key, value in node.items():
        if key == "properties" and isinstance(value, dict):
            bits += _unordered(value)
        elif key == "enum" and isinstance(value, list):
            bits += 8 * len(value)
        elif key == "const":
            bits += 8
        elif key == "pattern" and isinstance(value, str):
            bits += min(2 * len(value), 32)
        elif key in LIMITS:
            bits += 4
        elif key == "format":
            bits += 3
        elif key not in SILENT and isinstance(value, (dict, list)):
            children = value.values() if key in NAMED and isinstance(value, dict) else [value]
            children = value if isinstance(value, list) else children
            bits += sum(2 + _bits(child) for child in children if isinstance(child, dict))
    return bits


def _name_bits(name: str) -> int:
    return min(2 * len(_plain(name)), 16)


def _unordered(properties: dict[str, Any]) -> float:
    alike = Counter(_spelled(_form(child, names=False)) for child in properties.values())
    orders = math.lgamma(len(properties) + 1) - sum(math.lgamma(count + 1) for count in alike.values())
    return max(sum(map(_bits, properties.values())) - orders / math.log(2), 0.0)


def _type(node: Any) -> str:
    declared = node.get("type") if isinstance(node, dict) else None
    kinds = declared if isinstance(declared, list) else [declared] if declared is not None else []
    return "|".join(sorted(TYPES.get(str(kind).lower(), str(kind).lower()) for kind in kinds))


def _spelled(value: Any) -> str:
    """One spelling per JSON value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _plain(name: str) -> str:
    """A name without its spelling: `userId`, `user_id` and `UserID` are one."""
    return re.sub(r"[\W_]", "", name.casefold())
