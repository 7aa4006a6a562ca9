"""JSON Schema validators whose work is bounded, whatever the schema: no reference is fetched, and no pattern explodes."""

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

# A pattern that takes more steps on a text does not match it, and one of more bytes, compiled, is no pattern.
PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000, size_limit=2**20, dfa_size_limit=2**20)
# How many schemas may apply to one value, those of references and of allOf and its like counted.
MOST_AT_ONCE = 10_000

ONE = ("not", "if", "then", "else", "additionalProperties", "propertyNames", "contains", "unevaluatedProperties")
ONE += ("unevaluatedItems", "additionalItems", "items")
MANY = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
NAMED = ("properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions")
# Those of them whose schemas apply to the same value, and not to a part of it.
IN_PLACE = {"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"}


class NotASchema(ValueError):
    """No validator can be made of this; `reason` is one of remote_reference, endless, not_compiled."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason


def validator(schema: Any) -> jsonschema_rs.Validator:
    """Checks formats; the draft is that of `$schema`, else 2020-12. Raises NotASchema."""
    if remote := next((ref for ref in references(schema) if not ref.startswith("#")), None):
        raise NotASchema("remote_reference", f"$ref {remote!r} leads elsewhere")
    try:
        _check_work(schema)
        return jsonschema_rs.validator_for(schema, validate_formats=True, pattern_options=PATTERNS, offline=True)
    except NotASchema:
        raise
    except RecursionError:
        raise NotASchema("endless", "schemas lie too deep in each other") from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise NotASchema("not_compiled", str(error).splitlines()[0]) from None


def subschemas(schema: Any) -> Iterator[tuple[str, str, Any]]:
    """(keyword, JSON pointer from here, schema) of every schema directly in a schema; what stands in enum, const or
    examples is none."""
    if not isinstance(schema, dict):
        return
    for keyword in ONE:
        if isinstance(schema.get(keyword), dict | bool):
            yield keyword, f"/{keyword}", schema[keyword]
    for keyword in MANY:
        if isinstance(schema.get(keyword), list):
            yield from ((keyword, f"/{keyword}/{place}", child) for place, child in enumerate(schema[keyword]))
    for keyword in NAMED:
        if isinstance(schema.get(keyword), dict):
            for name, child in schema[keyword].items():
                yield keyword, f"/{keyword}/{name.replace('~', '~0').replace('/', '~1')}", child


def references(schema: Any) -> Iterator[str]:
    """Every reference in a schema."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
                if isinstance(node.get(keyword), str):
                    yield node[keyword]
        waiting += [child for _, _, child in subschemas(node)]


def resolved(document: Any, reference: str) -> Any:
    """What a reference `#` or `#/a/b` leads to. Raises KeyError where that is nothing, or where it has another form."""
    node = document
    start, *steps = unquote(reference).split("/")
    if start != "#":
        raise KeyError(reference)
    for step in steps:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and step.isdecimal() and int(step) < len(node):
            node = node[int(step)]
        elif isinstance(node, dict):
            node = node[step]
        else:
            raise KeyError(reference)
    return node


def _check_work(schema: Any) -> None:
    """Raises NotASchema where more schemas apply to one value than MOST_AT_ONCE, as with a reference to itself."""
    sums: dict[int, int] = {}

    def at_once(node: Any) -> int:
        if id(node) not in sums:
            sums[id(node)] = MOST_AT_ONCE  # for one that leads back to itself
            same = [child for keyword, _, child in subschemas(node) if keyword in IN_PLACE]
            if isinstance(node, dict) and isinstance(node.get("$ref"), str):
                with contextlib.suppress(KeyError):
                    same.append(resolved(schema, node["$ref"]))
            sums[id(node)] = 1 + sum(map(at_once, same))
        return sums[id(node)]

    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and at_once(node) > MOST_AT_ONCE:
            raise NotASchema("endless", f"more than {MOST_AT_ONCE:,} schemas apply to one value")
        waiting += [child for _, _, child in subschemas(node)]
