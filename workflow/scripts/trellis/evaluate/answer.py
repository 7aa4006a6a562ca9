"""Reading a model's answer as strictly as a program would, and comparing it with what was asked for.

The output of a model is hostile input: every check is linear in its length, and none follows it deeper than MAX_DEPTH.
"""

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 64


class NotJson(ValueError):
    """The output is not one RFC 8259 text that a strict reader accepts."""


def parse(output: str) -> Any:
    """The value of an output that is one JSON text and nothing else.

    Raises NotJson for NaN and infinities, numbers beyond a double, duplicate keys, text around the value, strings that
    no UTF-8 can carry, and nesting deeper than MAX_DEPTH.
    """
    _check_depth(output)
    try:
        value = json.loads(
            output, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite_number
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except ValueError as error:
        raise NotJson(str(error)) from None
    return value


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: numbers by value, keys in any order, strings by NFC without outer space."""
    return canonical(one) == canonical(other)


def canonical(value: Any) -> Any:
    """A hashable form of a JSON value; equal forms mean equal values."""
    match value:
        case dict():
            return ("object", tuple(sorted((key, canonical(item)) for key, item in value.items())))
        case list():
            return ("array", tuple(canonical(item) for item in value))
        case bool() | None:
            return ("constant", str(value))
        case int() | float():
            return ("number", value)
        case _:
            return ("string", unicodedata.normalize("NFC", value).strip())


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, canonical leaf) of every scalar and every empty container."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not children:
        yield path, canonical(value)
    for key, child in children:
        yield from leaves(child, (*path, str(key)))


def keys(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every object key; an array's items share one path step."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield (*path, key)
            yield from keys(child, (*path, key))
    elif isinstance(value, list):
        for child in value:
            yield from keys(child, (*path, "*"))


def f1(found: Counter, wanted: Counter) -> float:
    """Harmonic mean of precision and recall over multisets; 1 when both are empty."""
    if not found and not wanted:
        return 1.0
    return 2 * (found & wanted).total() / (found.total() + wanted.total())


def _check_depth(text: str) -> None:
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise NotJson(f"nested deeper than {MAX_DEPTH}")
        elif character in "]}":
            depth -= 1


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NotJson("duplicate keys")
    return value


def _no_constant(name: str) -> None:
    raise NotJson(f"{name} is no JSON")


def _finite_number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise NotJson("a number beyond a double")
    return number
