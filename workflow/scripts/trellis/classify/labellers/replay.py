"""Labels out of a file: a model's answers, replayed without the model."""

from pathlib import Path
from typing import Any

from trellis.classify.answers import Answer, Question
from trellis.classify.labelfile import LabelFile
from trellis.errors import TrellisError
from trellis.experiment.classify import Replay


def label(backend: Replay, questions: list[Question], tolerated: int) -> tuple[list[Answer], dict[str, Any]]:
    """What the file says; null where it has no label for the document, or one for another text of it."""
    rubrics = {question.rubric.id: question.rubric for question in questions}
    file = LabelFile(Path(backend.file), list(rubrics.values()))
    if missing := sorted(rubrics.keys() - file.holds):
        raise TrellisError(f"classify: labels.backend.file: {backend.file} holds no labels of the rubric {missing[0]}")
    answers = []
    for question in questions:
        value, reason = file.find(question.rubric, question.document)
        answers.append(Answer(value, None if value is None else "replay", reason))
    return answers, {}
