"""A reader of narrated texts that knows the sentences and the schema, and nothing of how the values were drawn."""

import json
import re
from collections.abc import Iterator
from typing import Any

from trellis.schema_tasks import RULE, text
from trellis.schema_tasks.values import UNITS

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
STEP = rf"(?:the (?:{'|'.join(text.ORDINALS)})|{NAME})"
SCALAR = rf'(?:«[^»]*»|"[^"\\]*"|-?\d+(?:\.\d+)?(?: (?:{"|".join(sum(UNITS.values(), ()))}))?|true|false)'
PIECES = {
    "spoken": rf"(?P<spoken>{STEP}(?: of {STEP})*)",
    "written": rf"(?P<written>{NAME}(?:\[\d\]|\.{NAME})*)",
    "similar": rf"(?:{'|'.join(form.format(NAME) for form in text.SIMILAR)})(?: of {STEP})*",
    "value": rf"(?P<value>{SCALAR}(?:(?:, {SCALAR})* and {SCALAR})?)",
    "other": rf"{SCALAR}(?:(?:, {SCALAR})* and {SCALAR})?",
}


def _pattern(form: str) -> re.Pattern[str]:
    pieces = re.split(r"\{(\w+)\}", form)
    return re.compile("".join(PIECES[each] if place % 2 else re.escape(each) for place, each in enumerate(pieces)))


SAYS = [_pattern(form) for form in (*text.STATED, *text.CORRECTED)]
UNKNOWN = [_pattern(form) for form in text.UNKNOWN]
ELSEWHERE = [_pattern(form) for form in text.ELSEWHERE]


def readings(told: str, schema: dict[str, Any]) -> list[Any]:
    """Every instance that the text can be taken to state, by every way to cut it into sentences that it allows."""
    found: dict[str, Any] = {}
    for stated in _cuts(told.removeprefix(RULE).strip()):
        instance = _assembled(stated, schema)
        found[json.dumps(instance, sort_keys=True)] = instance
    return list(found.values())


def _cuts(rest: str) -> Iterator[dict[tuple, list[Any] | None]]:
    if not rest:
        yield {}
        return
    for patterns in (SAYS, UNKNOWN, ELSEWHERE):
        for pattern in patterns:
            match = pattern.match(rest)
            if match is None or rest[match.end() :][:1] not in ("", " "):
                continue
            groups = match.groupdict()
            path = None if patterns is ELSEWHERE else _path(groups)
            for more in _cuts(rest[match.end() + 1 :]):
                if path is None:
                    yield more
                elif path not in more:
                    yield {path: None if patterns is UNKNOWN else _values(groups["value"]), **more}


def _path(groups: dict[str, str | None]) -> tuple:
    if groups.get("written"):
        steps = re.findall(rf"\[(\d)\]|({NAME})", groups["written"])
        return tuple(int(index) if index else name for index, name in steps)
    steps = reversed(groups["spoken"].split(" of "))
    return tuple(text.ORDINALS.index(step[4:]) if step.startswith("the ") else step for step in steps)


def _values(told: str) -> list[Any]:
    found = []
    for scalar in re.findall(SCALAR, told):
        if scalar.startswith("«"):
            found.append(scalar[1:-1])
        else:
            found.append(json.loads(scalar if scalar.startswith('"') else scalar.split(" ")[0]))
    return found


def _assembled(stated: dict[tuple, list[Any] | None], schema: dict[str, Any]) -> Any:
    """The object of the stated paths; where the schema asks for an array, one value is an array of one."""
    tree: dict = {}
    for path, values in stated.items():
        node = tree
        for step in path[:-1]:
            node = node.setdefault(step, {})
        kind = _spec(schema, path).get("type")
        is_array = "array" in (kind if isinstance(kind, list) else [kind])
        node[path[-1]] = values if values is None or is_array else values[0] if len(values) == 1 else values
    return _listed(tree)


def _spec(schema: dict[str, Any], path: tuple) -> dict[str, Any]:
    for step in path:
        if isinstance(step, int):
            schema = schema["items"]
            continue
        branches = schema.get("oneOf", [schema])
        schema = next(branch["properties"][step] for branch in branches if step in branch["properties"])
    return schema


def _listed(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if all(isinstance(key, int) for key in node):
        return [_listed(node[index]) for index in sorted(node)]
    return {key: _listed(child) for key, child in node.items()}
