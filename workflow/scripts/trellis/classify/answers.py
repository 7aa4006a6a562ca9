"""Answers to a rubric without a labeller: the label that comes with the document, else the rubric's heuristic."""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from trellis.classify.rubric import MultiLabel, Ordinal


class Answer(NamedTuple):
    """`value` is a list of true, false and None (open) for labels, a level, or None where the rubric does not apply;
    `origin` is real, heuristic or None."""

    value: list[bool | None] | float | None
    origin: str | None


def answerer(rubric: MultiLabel | Ordinal) -> Callable[[str, str], Answer]:
    """The function from (text, meta as JSON) to the rubric's answer."""
    real = _real_labels(rubric) if isinstance(rubric, MultiLabel) else _real_level(rubric)
    heuristic = _keywords(rubric) if isinstance(rubric, MultiLabel) else _cues(rubric)

    def answer(text: str, meta: str) -> Answer:
        if (value := real(_as_object(meta))) is not None:
            return Answer(value, "real")
        value = heuristic(text)
        return Answer(value, None if value is None else "heuristic")

    return answer


def _as_object(meta: str) -> dict[str, Any]:
    try:
        value = json.loads(meta)
    except (TypeError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _real_labels(rubric: MultiLabel) -> Callable[[dict], list[bool | None] | None]:
    def answer(meta: dict) -> list[bool | None] | None:
        said = meta.get(rubric.real.key)
        filed = rubric.real.values.get(said) if isinstance(said, str) else None
        if filed is None:
            return None
        return [None if name in filed.open else name in filed.sure for name in rubric.names]

    return answer


def _real_level(rubric: Ordinal) -> Callable[[dict], float | None]:
    low, high = min(rubric.levels), max(rubric.levels)

    def answer(meta: dict) -> float | None:
        said = meta.get(rubric.real.key) if rubric.real else None
        is_number = isinstance(said, (int, float)) and not isinstance(said, bool)
        return float(said) if is_number and low <= said <= high else None

    return answer


def _keywords(rubric: MultiLabel) -> Callable[[str], list[bool]]:
    patterns = [_pattern(label.keywords) for label in rubric.labels]

    def answer(text: str) -> list[bool]:
        text = text.casefold()
        different = [len({found.lastindex for found in pattern.finditer(text)}) for pattern in patterns]
        return [count >= rubric.heuristic.at_least for count in different]

    return answer


def _cues(rubric: Ordinal) -> Callable[[str], float | None]:
    if rubric.heuristic is None:
        return lambda text: None
    patterns = {kind: _pattern(cues) for kind, cues in rubric.heuristic.cues.items()}

    def answer(text: str) -> float:
        text = text.casefold()
        counts = {kind: sum(1 for _ in pattern.finditer(text)) for kind, pattern in patterns.items()}
        for level in sorted(rubric.heuristic.needs, reverse=True):
            conditions = rubric.heuristic.needs[level]
            if all(sum(counts[kind] for kind in condition.of) >= condition.at_least for condition in conditions):
                return float(level)
        return float(min(rubric.levels))

    return answer


def _pattern(cues: list[str]) -> re.Pattern:
    """Whole words, one group per cue; `*` takes any ending of a word or, between two words, any one word."""
    groups = [re.escape(cue).replace(r"\ \*\ ", r"\s+\w+\s+").replace(r"\*", r"\w*") for cue in cues]
    return re.compile(rf"(?<!\w)(?:{'|'.join(f'({group})' for group in groups)})(?!\w)")
