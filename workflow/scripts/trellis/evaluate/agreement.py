"""How far a value agrees with the gold value: whole, leaf by leaf, key by key, type by type.

Values are those of JSON, nested no deeper than `answer.MAX_DEPTH`. Work and memory are linear in their size. A leaf is a
scalar or an empty container.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

# Stands where the gold has something and the answer nothing.
ABSENT = object()


def agreement(value: Any, gold: Any) -> dict[str, float]:
    """`exact`: equality; `leaf_f1`: F1 of (path, value) pairs; `key_f1`: F1 of the paths of object keys, as multisets, an
    array's items sharing one step; `type_accuracy`: the share of the gold's leaves at whose path the value has one of the
    same JSON type."""
    if equal(value, gold):
        return dict.fromkeys(("exact", "leaf_f1", "key_f1", "type_accuracy"), 1.0)
    wanted = same = same_type = 0
    for one, leaf in _at_leaves(value, gold):
        wanted += 1
        if one is not ABSENT and kind(one) == kind(leaf):
            same_type += 1
            same += equal(one, leaf)
    return {
        "exact": 0.0,
        "leaf_f1": f1(same, _count_leaves(value), wanted),
        "key_f1": overlap(_key_paths(value), Counter(_key_paths(gold))),
        "type_accuracy": same_type / wanted,
    }


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same: numbers by value, keys in any order, strings by NFC without outer space."""
    return canonical(one) == canonical(other)


def canonical(value: Any) -> Any:
    """A hashable form of a value; equal forms mean equal values."""
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


def overlap(found: Iterable[Any], wanted: Counter) -> float:
    """F1 of two multisets, the first seen only in passing."""
    left, same, count = wanted.copy(), 0, 0
    for element in found:
        count += 1
        if left[element]:
            left[element] -= 1
            same += 1
    return f1(same, count, wanted.total())


def f1(same: int, found: int, wanted: int) -> float:
    """Harmonic mean of precision and recall; 1 where nothing is wanted and nothing found."""
    return 2 * same / (found + wanted) if found or wanted else 1.0


def kind(value: Any) -> str:
    """The JSON type; an integer is a number, as equality goes by value."""
    match value:
        case dict():
            return "object"
        case list():
            return "array"
        case bool():
            return "boolean"
        case None:
            return "null"
        case int() | float():
            return "number"
        case _:
            return "string"


def _at_leaves(value: Any, gold: Any) -> Iterator[tuple[Any, Any]]:
    """(what the value has at its path, leaf) for every leaf of the gold."""
    children = _children(gold)
    if not children:
        yield value, gold
    same = value is not ABSENT and kind(value) == kind(gold)
    for step, child in children:
        there = same and (step in value if isinstance(gold, dict) else step < len(value))
        yield from _at_leaves(value[step] if there else ABSENT, child)


def _count_leaves(value: Any) -> int:
    return sum(_count_leaves(child) for _, child in _children(value)) or 1


def _key_paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for step, child in _children(value):
        inside = (*path, step if isinstance(value, dict) else "*")
        if isinstance(value, dict):
            yield inside
        yield from _key_paths(child, inside)


def _children(value: Any) -> Any:
    """(step, child) pairs, none for a leaf."""
    if isinstance(value, dict):
        return value.items()
    return list(enumerate(value)) if isinstance(value, list) else ()
