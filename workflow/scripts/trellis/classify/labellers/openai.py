"""Labels by a language model behind an OpenAI-compatible endpoint.

Two waves: every question that the cache has no answer to, then, once, those whose answer was no good, together with what
was wrong. What is no good then is null with its reason: a failure is never a label.
"""

import asyncio
import logging
from typing import Any

from trellis.classify.answers import Answer, Question
from trellis.classify.labellers import batch, synchronous
from trellis.classify.labellers.budget import BYTES_PER_TOKEN, Budget
from trellis.classify.labellers.cache import Cache, Reply
from trellis.classify.labellers.request import Failures, Request
from trellis.classify.prompt import Reading, read_answer
from trellis.experiment.classify import OpenAI

LOG = logging.getLogger("trellis")
TRANSPORTS = {"synchronous": synchronous.fulfil, "batch": batch.fulfil}


def label(backend: OpenAI, questions: list[Question], tolerated: int) -> tuple[list[Answer], dict[str, Any]]:
    """An answer to every question, null with a reason where the model gave none that holds."""
    with Cache(backend) as cache:
        work = _Work(backend, cache, tolerated)
        first = [Request(backend, question) for question in questions]
        work.get(first)
        readings = [work.read(request) for request in first]
        again = {
            place: Request(backend, questions[place], (cache.replies[first[place].key].content or "", reading.problem))
            for place, reading in enumerate(readings)
            if reading.reason in ("malformed", "schema")
        }
        work.get(list(again.values()))
        for place, request in again.items():
            readings[place] = work.read(request)
        origin = f"model:{backend.model}"
        answers = [Answer(r.value, None if r.value is None else origin, r.reason) for r in readings]
        return answers, work.account()


class _Work:
    """What was asked in one run, and what came of it."""

    def __init__(self, backend: OpenAI, cache: Cache, tolerated: int) -> None:
        self.backend, self.cache = backend, cache
        self.budget, self.failures = Budget(backend), Failures(tolerated)
        self.used: dict[str, Reply] = {}
        self.asked: set[str] = set()
        self.estimate = self.spent = 0.0

    def get(self, requests: list[Request]) -> None:
        """Answers to the requests, out of the cache or from the model. Raises TrellisError as the transports do, and
        before anything is sent when the estimate passes the limit."""
        known = {r.key: r for r in requests if r.key in self.cache.replies}
        self.budget.spent += sum(self.budget.cost(self.cache.replies[key], r.size) for key, r in known.items())
        wanted = {r.key: r for r in requests if r.key not in self.cache.replies}
        self.failures.answered |= bool(known)
        if wanted:
            self._announce(wanted, len(known))
            before = self.budget.spent
            transport = TRANSPORTS[self.backend.mode]
            asyncio.run(transport(wanted, self.backend, self.cache, self.budget, self.failures))
            self.asked |= wanted.keys() & self.cache.replies.keys()
            self.spent += self.budget.spent - before
        for request in requests:
            if reply := self.cache.replies.get(request.key):
                self.used[request.key] = reply

    def _announce(self, wanted: dict[str, Request], known: int) -> None:
        tokens_in = sum(request.size for request in wanted.values()) / BYTES_PER_TOKEN
        tokens_out = sum(request.answer_size for request in wanted.values()) / BYTES_PER_TOKEN
        estimate = self.budget.price(tokens_in, tokens_out)
        bound = sum(self.budget.bound(request.size) for request in wanted.values())
        LOG.info(
            "labels: %s is asked %d times (%d answers are there already): about %.3g tokens in and %.3g out at %d bytes a "
            "token, %.2f USD, at most %.2f USD; spent %.2f of %.2f USD",
            *(self.backend.model, len(wanted), known, tokens_in, tokens_out, BYTES_PER_TOKEN),
            *(estimate, bound, self.budget.spent, self.backend.max_usd),
        )
        self.budget.check(estimate, len(wanted))
        self.estimate += estimate

    def read(self, request: Request) -> Reading:
        """What came of a request."""
        reply = self.used.get(request.key)
        if reply is None:
            return Reading(None, self.failures.reasons[request.key])
        if reply.refusal or reply.finish == "content_filter":
            return Reading(None, "refused")
        if reply.finish == "length":
            return Reading(None, "too_long")
        return read_answer(request.question.rubric, reply.content or "")

    def account(self) -> dict[str, Any]:
        """Tokens and dollars: of this run, and of all answers whenever they were paid for."""
        sent = [self.used[key] for key in sorted(self.asked)]
        return {
            "requests": len(sent),
            "from_cache": len(self.used) - len(sent),
            "input_tokens": sum(reply.input_tokens or 0 for reply in sent),
            "output_tokens": sum(reply.output_tokens or 0 for reply in sent),
            "estimated_usd": round(self.estimate, 6),
            "usd": round(self.spent, 6),
            "usd_in_all": round(self.budget.spent, 6),
            "models": sorted({reply.model for reply in self.used.values()}),
        }
