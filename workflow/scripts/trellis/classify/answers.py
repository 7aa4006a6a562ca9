"""Questions to a labeller, their answers, and the labels that come with a document."""

from collections.abc import Callable
from typing import Any, NamedTuple

from trellis.classify.rubric import Classes, MultiLabel, Ordinal

Rubric = MultiLabel | Ordinal | Classes
# A list of true, false and None (open) for labels, a level, the place of a class; None where there is no answer.
Value = list[bool | None] | float | int | None


class Document(NamedTuple):
    """A document of the sample. `text` is what the labeller reads, `window` its xxh3, `weight` how many documents of the
    source this one stands for, `meta` what the source says of it."""

    doc_id: int
    source: str
    split: str
    weight: float
    window: int
    text: str
    meta: dict[str, Any]


class Question(NamedTuple):
    """One rubric asked of one document, for the `repeat`th time after the first."""

    rubric: Rubric
    document: Document
    repeat: int = 0


class Answer(NamedTuple):
    """`origin` says whose answer it is (None without one), `reason` why there is none."""

    value: Value
    origin: str | None
    reason: str | None = None


def real_answer(rubric: Rubric) -> Callable[[dict[str, Any]], Value]:
    """The function from a document's meta to the answer that it holds, if any."""
    if isinstance(rubric, Classes) or rubric.real is None:
        return lambda meta: None
    return _real_labels(rubric) if isinstance(rubric, MultiLabel) else _real_level(rubric)


def _real_labels(rubric: MultiLabel) -> Callable[[dict], Value]:
    def answer(meta: dict) -> Value:
        said = meta.get(rubric.real.key)
        filed = rubric.real.values.get(said) if isinstance(said, str) else None
        if filed is None:
            return None
        return [None if name in filed.open else name in filed.sure for name in rubric.names]

    return answer


def _real_level(rubric: Ordinal) -> Callable[[dict], Value]:
    def answer(meta: dict) -> Value:
        said = meta.get(rubric.real.key)
        level = rubric.real.levels.get(said) if isinstance(said, int) and not isinstance(said, bool) else None
        return None if level is None else float(level)

    return answer
