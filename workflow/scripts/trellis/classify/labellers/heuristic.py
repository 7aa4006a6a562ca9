"""Labels by the rubrics' own rules: cues that are counted."""

import re
from collections.abc import Callable
from typing import Any

from trellis.classify.answers import Answer, Question, Rubric, Value
from trellis.classify.rubric import Classes, MultiLabel, Ordinal
from trellis.experiment.classify import Heuristic


def label(backend: Heuristic, questions: list[Question], tolerated: int) -> tuple[list[Answer], dict[str, Any]]:
    """An answer to every question."""
    rules = {name: heuristic(rubric) for name, rubric in {q.rubric.id: q.rubric for q in questions}.items()}
    return [Answer(rules[q.rubric.id](q.document.text), "heuristic") for q in questions], {}


def heuristic(rubric: Rubric) -> Callable[[str], Value]:
    """The function from a text to the rubric's answer."""
    if isinstance(rubric, MultiLabel):
        return _keywords(rubric)
    return _cues(rubric) if isinstance(rubric, Ordinal) else _first_match(rubric)


def _keywords(rubric: MultiLabel) -> Callable[[str], Value]:
    patterns = [_pattern(label.keywords) for label in rubric.labels]

    def answer(text: str) -> Value:
        text = text.casefold()
        different = [len({found.lastindex for found in pattern.finditer(text)}) for pattern in patterns]
        return [count >= rubric.heuristic.at_least for count in different]

    return answer


def _cues(rubric: Ordinal) -> Callable[[str], Value]:
    patterns = {kind: _pattern(cues) for kind, cues in rubric.heuristic.cues.items()}

    def answer(text: str) -> Value:
        text = text.casefold()
        counts = {kind: sum(1 for _ in pattern.finditer(text)) for kind, pattern in patterns.items()}
        for level in sorted(rubric.heuristic.needs, reverse=True):
            conditions = rubric.heuristic.needs[level]
            if all(sum(counts[kind] for kind in condition.of) >= condition.at_least for condition in conditions):
                return float(level)
        return float(min(rubric.levels))

    return answer


def _first_match(rubric: Classes) -> Callable[[str], Value]:
    kinds = {kind.name: kind for kind in rubric.classes}
    ordered = [(rubric.names.index(name), _pattern(kinds[name].cues), kinds[name]) for name in rubric.heuristic.order]

    def answer(text: str) -> Value:
        text = text.casefold()
        for place, pattern, kind in ordered:
            if sum(1 for _ in pattern.finditer(text)) >= kind.at_least:
                return place
        return rubric.names.index(rubric.heuristic.otherwise)

    return answer


def _pattern(cues: list[str]) -> re.Pattern:
    """Whole words, one group per cue; `*` takes any letters of a word or, between two words, any one word."""
    groups = [re.escape(cue).replace(r"\ \*\ ", r"\s+\w+\s+").replace(r"\*", r"\w*") for cue in cues]
    return re.compile(rf"(?<!\w)(?:{'|'.join(f'({group})' for group in groups)})(?!\w)")
