"""Calls as BFCL judges them. Only an answer that is one strict JSON array of {name, arguments}, and not an empty one, calls;
anything else is words, which is what a program that runs the calls would make of it.

| asked for | metrics |
|---|---|
| certain calls | all; `name_accuracy` is 1 where the functions called are those of the answer, each as often |
| any call | `ast` is `called`, as in BFCL; `name_accuracy` is null |
| no call | `called` alone |
"""

from collections import Counter
from typing import Any

from trellis.evaluate import calls
from trellis.evaluate.answer import NotJson, parse
from trellis.evaluate.scorers import schema


def score(item: dict[str, Any], output: str) -> dict[str, float | None]:
    """The metrics of one answer; `check` is {answers, functions}."""
    answers, signatures = item["check"]["answers"], item["check"]["functions"]
    made = read_calls(output)
    if answers == []:
        return {"called": float(bool(made))}
    metrics = schema.score(item, output) | {"called": float(bool(made))}
    if answers is None:
        return metrics | {"ast": metrics["called"]}
    named = Counter(call["name"] for call in made)
    return metrics | {
        "name_accuracy": float(named == Counter(name for answer in answers for name in answer)),
        "ast": float(calls.right(made, answers, signatures)),
    }


def read_calls(output: str) -> list[dict[str, Any]]:
    """The calls that an output makes; none where it is words."""
    try:
        value = parse(output)
    except NotJson:
        return []
    return value if isinstance(value, list) and all(map(_is_call, value)) else []


def _is_call(value: Any) -> bool:
    match value:
        case {"name": str(), "arguments": dict(), **others}:
            return not others
    return False
