"""Reading a model's answer as strictly as a program would, and as leniently as a patient one.

The output of a model is hostile input: every check is linear in its length, none follows it deeper than MAX_DEPTH, and of
what is longer than MAX_LENGTH nothing is read at all.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 64
# In characters; the longest gold answers have a few thousand.
MAX_LENGTH = 100_000
FENCE = "```"
# What decoding writes for bytes that are no UTF-8.
REPLACED = "\ufffd"
# A string, ended or not, or a bracket. Possessive, so that no text makes it look twice.
STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


class NotJson(ValueError):
    """The output is not one RFC 8259 text that a strict reader accepts."""


def parse(output: str) -> Any:
    """The value of an output that is one JSON text and nothing else.

    Raises NotJson for NaN and infinities, numbers beyond a double, duplicate keys, text around the value, strings that
    no UTF-8 can carry, bytes that were none, nesting deeper than MAX_DEPTH, and more characters than MAX_LENGTH.
    """
    if len(output) > MAX_LENGTH:
        raise NotJson(f"longer than {MAX_LENGTH:,} characters")
    if REPLACED in output:
        raise NotJson("bytes that are no UTF-8")
    if output.count("[") + output.count("{") > MAX_DEPTH and any(depth > MAX_DEPTH for depth, _ in _brackets(output)):
        raise NotJson(f"nested deeper than {MAX_DEPTH}")
    try:
        value = json.loads(
            output, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite_number
        )
        if "\\u" in output or not output.isascii():
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except ValueError as error:
        raise NotJson(str(error)) from None
    return value


def parse_lenient(output: str) -> Any:
    """The value of the output, else of its first fenced block, else of its first balanced object or array, whichever is
    the first that `parse` accepts. Raises NotJson."""
    for candidate in (output, fenced(output), _balanced(output)):
        if candidate is not None:
            try:
                return parse(candidate)
            except NotJson:
                continue
    raise NotJson("no JSON value in it")


def fenced(output: str) -> str | None:
    """What stands in the first closed block between ``` and ```, without the line on which it is opened."""
    if len(output) > MAX_LENGTH:
        return None
    _, _, after = output.partition(FENCE)
    _, _, rest = after.partition("\n")
    content, closed, _ = rest.partition(FENCE)
    return content if closed else None


def _balanced(output: str) -> str | None:
    start = min((place for bracket in "[{" if (place := output.find(bracket)) >= 0), default=None)
    if start is None or len(output) > MAX_LENGTH:
        return None
    return next((output[start:end] for depth, end in _brackets(output, start) if depth == 0), None)


def _brackets(text: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """(depth after it, where it ends) of every bracket outside strings."""
    depth = 0
    for match in STRING_OR_BRACKET.finditer(text, start):
        mark = match[0]
        if mark[0] != '"':
            depth += 1 if mark in "[{" else -1
            yield depth, match.end()


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
