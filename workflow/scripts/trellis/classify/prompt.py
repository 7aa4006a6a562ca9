"""How a model is asked, and what it may answer: messages and JSON Schema of a rubric, and the reading of an answer."""

import hashlib
import json
import re
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator

from trellis.classify.answers import Document, Rubric, Value
from trellis.classify.rubric import Classes, MultiLabel

PLACE = re.compile(r"\{(scale|text|mark|meta\.\w+)\}")


class Reading(NamedTuple):
    """What an answer comes to: a value, or the reason why it is none and, for the model, what is wrong with it."""

    value: Value
    reason: str | None = None
    problem: str = ""


def messages(rubric: Rubric, document: Document) -> list[dict[str, str]]:
    """The instructions, which are the same for every document (providers bill a repeated beginning at less), and the
    document between marks: a text cannot close them, because its own hash is part of them."""
    parts = {
        "scale": "\n".join(f"- {name}: {meaning}" for name, meaning in rubric.meanings.items()),
        "mark": hashlib.sha256(document.text.encode()).hexdigest()[:12],
        "text": document.text,
    }

    def filled(place: re.Match) -> str:
        name = place[1]
        return parts[name] if name in parts else _short(document.meta.get(name.removeprefix("meta."), "not stated"))

    return [
        {"role": "system", "content": PLACE.sub(filled, rubric.prompt.instructions)},
        {"role": "user", "content": PLACE.sub(filled, rubric.prompt.document)},
    ]


def _short(said: Any) -> str:
    """A few words on one line: what others say is no more to be trusted than the text."""
    return " ".join(str(said).encode(errors="replace").decode().split())[:80]


def answer_schema(rubric: Rubric) -> dict[str, Any]:
    """The JSON Schema of an answer, within what strict structured output allows: closed objects, all keys required."""
    if isinstance(rubric, MultiLabel):
        properties = {name: {"type": "boolean"} for name in rubric.names}
    elif isinstance(rubric, Classes):
        properties = {"class": {"type": "string", "enum": rubric.names}}
    else:
        properties = {"level": {"type": "integer", "enum": sorted(rubric.levels)}}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def longest_answer(rubric: Rubric) -> str:
    """A valid answer, as long as they get."""
    if isinstance(rubric, MultiLabel):
        return json.dumps(dict.fromkeys(rubric.names, False))
    if isinstance(rubric, Classes):
        return json.dumps({"class": max(rubric.names, key=len)})
    return json.dumps({"level": max(rubric.levels)})


def read_answer(rubric: Rubric, content: str) -> Reading:
    """An answer's value, once it satisfies the schema; else `malformed` (no JSON) or `schema`."""
    try:
        answer = json.loads(content)
        errors = [error.message for error in Draft202012Validator(answer_schema(rubric)).iter_errors(answer)]
    except (ValueError, RecursionError) as error:
        return Reading(None, "malformed", f"it is not JSON ({_short(error)})")
    if errors:
        return Reading(None, "schema", "; ".join(sorted(map(_short, errors))[:3]))
    if isinstance(rubric, MultiLabel):
        return Reading([answer[name] for name in rubric.names])
    return Reading(rubric.names.index(answer["class"]) if isinstance(rubric, Classes) else float(answer["level"]))
