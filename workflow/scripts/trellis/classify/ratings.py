"""Labelling again, to see how far labels can be relied on: the same model, a second one, people."""

from pathlib import Path
from typing import Any

from trellis.classify.agreement import agreement
from trellis.classify.answers import Answer, Question, Rubric, Value
from trellis.classify.labelfile import LabelFile
from trellis.classify.sample import hashed
from trellis.experiment.classify import Agreement

Rated = dict[tuple[str, int], list[Value]]


def repeated(rules: Agreement, questions: list[Question], seed: int) -> list[Question]:
    """The questions that the same labeller is asked again."""
    chosen = [q for q in questions if hashed(seed, "repeat", q.document.doc_id) < rules.repeat_share]
    return [question._replace(repeat=again) for again in range(1, rules.repeats + 1) for question in chosen]


def gold(rules: Agreement, questions: list[Question], seed: int) -> list[Question]:
    """The questions that the second labeller is asked."""
    return [q for q in questions if hashed(seed, "gold", q.document.doc_id) < rules.gold_share]


def human(rules: Agreement, questions: list[Question]) -> tuple[list[Question], list[Answer]]:
    """The questions that people have answered, and their answers. Raises TrellisError as LabelFile."""
    if rules.human is None:
        return [], []
    file = LabelFile(Path(rules.human), list({q.rubric.id: q.rubric for q in questions}.values()))
    found = [(question, file.find(question.rubric, question.document)[0]) for question in questions]
    known = [(question, Answer(value, "human")) for question, value in found if value is not None]
    return [question for question, _ in known], [answer for _, answer in known]


def agreements(
    rubrics: list[Rubric],
    first: tuple[list[Question], list[Answer]],
    others: dict[str, tuple[list[Question], list[Answer]]],
) -> dict[str, dict[str, Any]]:
    """By rubric and kind of other labelling (repeats, second, human) the figures of `agreement`, where there are any."""
    base = _by_document(*first)
    measured: dict[str, dict[str, Any]] = {rubric.id: {} for rubric in rubrics}
    for kind, labelling in others.items():
        again = _by_document(*labelling)
        for rubric in rubrics:
            units = [base[key] + values for key, values in again.items() if key[0] == rubric.id]
            if figures := agreement(rubric, units, two_labellers=kind != "repeats"):
                measured[rubric.id][kind] = figures
    return measured


def _by_document(questions: list[Question], answers: list[Answer]) -> Rated:
    rated: Rated = {}
    for question, answer in zip(questions, answers, strict=True):
        rated.setdefault((question.rubric.id, question.document.doc_id), []).append(answer.value)
    return rated
