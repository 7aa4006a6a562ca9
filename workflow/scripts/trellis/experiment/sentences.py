"""From a validation error to the sentence that a user needs: file, key, what is allowed."""

import difflib
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError


def first_sentence(error: ValidationError, file: Path, model: type[BaseModel], within: str = "") -> str:
    """The first error as `file: key: what is wrong and what is allowed`; says how many more there are. `within` is the key
    under which the model stands in the file."""
    # A misspelt key is one mistake and two errors; the unknown name explains the missing one.
    errors = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    first = errors[0]
    key = ".".join(str(part) for part in ((within,) if within else ()) + first["loc"])
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    if first["type"] == "extra_forbidden":
        allowed = _keys_beside(model, first["loc"])
        close = difflib.get_close_matches(str(first["loc"][-1]), allowed, n=1)
        guess = f"did you mean {close[0]}? " if close else ""
        return f"{file}: {key}: unknown key; {guess}allowed here: {', '.join(allowed)}{more}"
    if first["type"] == "missing":
        return f"{file}: {key}: this key is required and missing{more}"
    shown = f", not {first['input']!r}" if not isinstance(first["input"], (dict, list, BaseModel)) else ""
    message = first["msg"].removeprefix("Value error, ")
    shown += _meant(first) if first["type"] == "literal_error" else ""
    return f"{file}: {key}: {message[:1].lower()}{message[1:]}{shown if first['type'] != 'value_error' else ''}{more}"


def _meant(error: Any) -> str:
    close = difflib.get_close_matches(str(error["input"]), re.findall(r"'([^']+)'", error["ctx"]["expected"]), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _keys_beside(model: Any, location: tuple) -> list[str]:
    """The keys that the section allows in which the unknown key stands."""
    for part in location[:-1]:
        model = _step(model, part)
    return sorted(_fields(model))


def _fields(model: Any) -> dict[str, Any]:
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}


def _step(annotation: Any, part: Any) -> Any:
    """The type that lies under one key: a field, a dict's values, a list's items, or the union member tagged `part`."""
    if part in _fields(annotation):
        return annotation.model_fields[part].annotation
    options = getattr(annotation, "__args__", ())
    if getattr(annotation, "__origin__", None) in (dict, list, tuple):
        return options[-1]
    for option in options:
        kind = _fields(option).get("kind")
        if kind is not None and part in getattr(kind.annotation, "__args__", ()):
            return option
    return next((_step(option, part) for option in options if _step(option, part) is not None), None)
