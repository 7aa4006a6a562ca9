"""Tools as the published sets list them, to {name, description, parameters} with parameters as JSON Schema.

Parameters come as JSON Schema, as JSON Schema with Python's names for types (ToolACE: `dict`, `float`), or as
{parameter: {description, type, default}} with Python annotations for types (xLAM: `List[int], optional`).
"""

import ast
from typing import Any

import jsonschema_rs

TYPES = {
    **{name: name for name in ("string", "integer", "number", "boolean", "array", "object", "null")},
    **{"str": "string", "int": "integer", "float": "number", "double": "number", "bool": "boolean"},
    **{"list": "array", "tuple": "array", "set": "array", "dict": "object", "none": "null"},
}


def read_tools(value: Any) -> list[dict[str, Any]]:
    """The tools of a list. Raises ValueError when it is empty, when a tool has no name of its own, or when its parameters
    cannot be said as valid JSON Schema."""
    if not isinstance(value, list) or not value:
        raise ValueError("no tools")
    tools = [_tool(each) for each in value]
    if len({tool["name"] for tool in tools}) < len(tools):
        raise ValueError("two tools of one name")
    return tools


def _tool(value: Any) -> dict[str, Any]:
    match value:
        case {"function": dict(value)} | dict(value):
            pass
        case _:
            raise ValueError("a tool is an object")
    name, description = value.get("name"), value.get("description") or ""
    given = value.get("parameters") or {}
    if not (isinstance(name, str) and name.strip() and isinstance(description, str) and isinstance(given, dict)):
        raise ValueError("a tool has a name, a description and parameters")
    # In a list of parameters, `type` would be the description of a parameter of that name.
    parameters = json_schema(given) if isinstance(given.get("type"), str) else _annotated(given)
    parameters = {"type": "object", "properties": {}} | parameters
    if parameters["type"] != "object" or not isinstance(parameters["properties"], dict):
        raise ValueError(f"the parameters of {name} are no object")
    if not jsonschema_rs.meta.is_valid({key: parameters[key] for key in parameters if key != "$schema"}):
        raise ValueError(f"the parameters of {name} are no valid JSON Schema")
    return {"name": name, "description": description, "parameters": parameters}


def json_schema(value: Any) -> Any:
    """A schema with the types of JSON Schema for Python's names of them; types that say nothing (`any`) are left out."""
    if not isinstance(value, dict):
        return value
    made = {}
    for key, item in value.items():
        match key, item:
            case "type", str():
                made |= _annotation(item)[0]
            case "type", list():
                made["type"] = [TYPES.get(str(name).lower(), name) for name in item]
            case "properties", dict():
                made[key] = {name: json_schema(inner) for name, inner in item.items()}
            case "items" | "additionalProperties", dict():
                made[key] = json_schema(item)
            case "anyOf" | "oneOf" | "allOf", list():
                made[key] = [json_schema(inner) for inner in item]
            case "required", None | bool() | []:
                pass
            case _:
                made[key] = item
    return made


def _annotated(parameters: dict[str, Any]) -> dict[str, Any]:
    properties, required = {}, []
    for name, about in parameters.items():
        if not isinstance(about, dict):
            raise ValueError(f"the parameter {name} is not described")
        kind = about.get("type")
        schema, optional = _annotation(kind) if isinstance(kind, str) else ({}, False)
        properties[name] = schema | {key: about[key] for key in ("description", "default") if key in about}
        if not optional and "default" not in about:
            required.append(name)
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def _annotation(text: str) -> tuple[dict[str, Any], bool]:
    """The schema of a type as Python writes it, and whether it is optional; no schema for what JSON has no type for."""
    kind, comma, word = text.rpartition(",")
    optional = bool(comma) and word.strip().lower() == "optional"
    try:
        node = ast.parse((kind if optional else text).strip(), mode="eval").body
        schema, none = _schema_of(node)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return {}, optional
    return schema, optional or none


def _schema_of(node: ast.expr) -> tuple[dict[str, Any], bool]:
    """As `_annotation`."""
    match node:
        case ast.Constant(value=None):
            return {"type": "null"}, False
        case ast.Name(id=name):
            return ({"type": TYPES[name.lower()]} if name.lower() in TYPES else {}), False
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return _schema_of(inner)[0], True
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=inner)):
            kinds = [_schema_of(each)[0] for each in inner]
            chosen = [kind for kind in kinds if kind != {"type": "null"}]
            return (chosen[0] if len(chosen) == 1 else {"anyOf": chosen}), len(chosen) < len(kinds)
        case ast.Subscript(value=ast.Name(id="List" | "list" | "Set" | "set"), slice=inner):
            return {"type": "array", "items": _schema_of(inner)[0]}, False
        case ast.Subscript(value=ast.Name(id=name)):
            return _schema_of(ast.Name(name))
    return {}, False
