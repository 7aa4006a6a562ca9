"""Values written as JSON or as Python literals, read as data: nothing is evaluated."""

import ast
import json
import math
import warnings
from typing import Any

MAX_DEPTH = 64
NAMES = {"true": True, "false": False, "null": None}


def read_literal(text: str) -> Any:
    """The JSON value of a text that is JSON or a Python literal (which may say true, false and null); tuples are arrays.

    Raises ValueError for everything else: calls and names, sets and bytes, keys that are not strings, numbers that are not
    finite, text that UTF-8 cannot carry, and nesting deeper than MAX_DEPTH.
    """
    try:
        try:
            value = json.loads(text)
        except ValueError:
            value = _python_literal(text.strip())
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"neither JSON nor a literal: {error}") from None
    return _json_value(value, MAX_DEPTH)


def _python_literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of backslashes that escape nothing
        return ast.literal_eval(_JsonNames().visit(ast.parse(text, mode="eval")))


class _JsonNames(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(NAMES[node.id]) if node.id in NAMES else node


def _json_value(value: Any, depth: int) -> Any:
    if not depth:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    match value:
        case dict() if all(isinstance(key, str) for key in value):
            return {_json_value(key, 1): _json_value(item, depth - 1) for key, item in value.items()}
        case list() | tuple():
            return [_json_value(item, depth - 1) for item in value]
        case str():
            value.encode()
        case bool() | int() | None:
            pass
        case float() if math.isfinite(value):
            pass
        case _:
            raise ValueError(f"not a JSON value: {value!r:.100}")
    return value
