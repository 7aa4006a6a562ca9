"""What is sent to a model: a question or, after an answer that was no good, the question with what was wrong."""

from typing import Any

from trellis.address import canonical_json, digest
from trellis.classify.answers import Question
from trellis.classify.prompt import answer_schema, longest_answer, messages
from trellis.errors import TrellisError
from trellis.experiment.classify import OpenAI

# Requests that fail before anything at all was answered: then it is not the documents.
FIRST_FAILURES = 8


class Request:
    """One chat completion. `key` is its address in the cache: rubric, version, repeat and all that the model is told;
    `size` its bytes. The body is built when it is needed: a million of them would not fit."""

    __slots__ = ("backend", "key", "question", "repair", "size")

    def __init__(self, backend: OpenAI, question: Question, repair: tuple[str, str] | None = None) -> None:
        self.backend, self.question, self.repair = backend, question, repair
        body, rubric = self.body(), question.rubric
        self.key = digest([rubric.id, rubric.version, question.repeat, body])
        self.size = len(canonical_json(body).encode())

    def body(self) -> dict[str, Any]:
        """The request's body; `repair` is (the last answer, what was wrong with it)."""
        rubric, backend = self.question.rubric, self.backend
        said = messages(rubric, self.question.document)
        if self.repair:
            answer, problem = self.repair
            correction = f"That answer cannot be used: {problem}. Answer again, with the JSON object alone."
            said += [{"role": "assistant", "content": answer}, {"role": "user", "content": correction}]
        schema = {"name": rubric.id, "strict": True, "schema": answer_schema(rubric)}
        return {
            "model": backend.model,
            "messages": said,
            "response_format": {"type": "json_schema", "json_schema": schema},
            "max_completion_tokens": backend.max_output_tokens,
            **({} if backend.temperature is None else {"temperature": backend.temperature}),
            **backend.parameters,
        }

    @property
    def answer_size(self) -> int:
        """Bytes of a plain answer; a model that thinks before it answers writes more."""
        return len(longest_answer(self.question.rubric))


class Failures:
    """Requests without an answer, by key; raises TrellisError as soon as they are too many for the labels to be of use."""

    def __init__(self, tolerated: int) -> None:
        self.tolerated = tolerated
        self.reasons: dict[str, str] = {}
        self.answered = False

    def add(self, key: str, reason: str, problem: str) -> None:
        self.reasons[key] = reason
        count = len(self.reasons)
        if count > self.tolerated or (count >= FIRST_FAILURES and not self.answered):
            raise TrellisError(
                f"classify: labels: {count} requests got no answer, the last one by {reason} ({problem}); "
                f"{'none was answered' if not self.answered else f'labels.max_null_share tolerates {self.tolerated}'}; "
                f"what was answered is kept, and another run goes on from there"
            )
