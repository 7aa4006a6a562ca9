"""One endpoint that speaks OpenAI's protocol: requests with retries, and what its errors mean."""

import asyncio
import email.utils
import logging
import os
import random
import time
from collections.abc import Callable
from typing import Any, Self

import httpx2

from trellis.classify.labellers.cache import Reply
from trellis.errors import TrellisError
from trellis.experiment.classify import OpenAI

LOG = logging.getLogger("trellis")
FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
LONGEST_TOLD_WAIT = 3600.0
FILE_SECONDS = 3600.0
REASONS = {
    "context_length_exceeded": "too_long",
    "string_above_max_length": "too_long",
    "content_filter": "refused",
    "content_policy_violation": "refused",
}


class NoReply(Exception):
    """A request got no answer. `reason` as in the labels: network, rejected, refused or too_long."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason


class Endpoint:
    """An open connection pool; `call` is safe to use from many tasks, and one that is told to wait has them all wait."""

    def __init__(self, backend: OpenAI) -> None:
        self.backend = backend
        self.title = f"classify: labels by {backend.model}"
        self.key = _read_key(backend.key_variable)
        self.resume = 0.0
        # One line a request would fill the log, and its debug lines would hold the key.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)

    async def __aenter__(self) -> Self:
        self.client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            limits=httpx2.Limits(max_connections=self.backend.concurrency),
            timeout=None,  # a deadline for the whole exchange stands in `call`
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def ask(self, body: dict[str, Any]) -> Reply:
        """The answer to a chat completion. Raises NoReply, and TrellisError as `call`."""
        return await self.call("POST", "/chat/completions", read_reply, json=body)

    async def call(
        self,
        method: str,
        path: str,
        read: Callable[[httpx2.Response], Any],
        attempts: int | None = None,
        seconds: float | None = None,
        **content: Any,
    ) -> Any:
        """What `read` makes of the response; a ValueError of it counts as a broken response. Raises NoReply once
        `attempts` are used up or the request is turned down, TrellisError when every request would be."""
        attempts = attempts or self.backend.attempts
        for attempt in range(attempts):
            await asyncio.sleep(max(0.0, self.resume - time.monotonic()))
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt) * random.uniform(0.5, 1.0)
            try:
                async with asyncio.timeout(seconds or self.backend.timeout_seconds):
                    response = await self.client.request(method, self.backend.endpoint.rstrip("/") + path, **content)
                if response.is_success:
                    return read(response)
            except (httpx2.TransportError, httpx2.DecodingError, TimeoutError, ValueError) as error:
                problem = f"{type(error).__name__} {self.hidden(error)}".strip()
            else:
                problem = self._problem(response)
                if (meaning := verdict(response.status_code, _error(response))) == "fatal":
                    raise TrellisError(f"{self.title}: {self.backend.endpoint}{path} answers {problem}")
                if meaning != "retry":
                    raise NoReply(meaning, problem)
                if told := _retry_after(response):
                    self.resume, wait = max(self.resume, time.monotonic() + told), 0.0
            LOG.info("labels: attempt %d of %d at %s: %s", attempt + 1, attempts, path, problem)
            if attempt + 1 < attempts:
                await asyncio.sleep(wait)
        raise NoReply("network", problem)

    def hidden(self, text: object) -> str:
        """A text without the key, whoever put it there."""
        return str(text).replace(self.key, "[key]") if self.key else str(text)

    def _problem(self, response: httpx2.Response) -> str:
        said = _error(response).get("message") or response.text
        return self.hidden(f"{response.status_code}: {' '.join(str(said).split())[:300]}")


def verdict(status: int, error: dict[str, Any]) -> str:
    """What an error means: `retry`, `fatal` (it would be the same for all), or why this one request has no answer."""
    codes = [str(error.get("code")), str(error.get("type"))]
    if reason := next((REASONS[code] for code in codes if code in REASONS), None):
        return reason
    if "insufficient_quota" in codes or status in (401, 403, 404, 405) or 300 <= status < 400:
        return "fatal"
    return "retry" if status in (408, 409, 425, 429) or status >= 500 else "rejected"


def read_reply(response: httpx2.Response) -> Reply:
    """The Reply in a response. Raises ValueError when it is no chat completion."""
    return reply_of(response.json())


def reply_of(body: Any) -> Reply:
    """The Reply in the body of a chat completion. Raises ValueError when it is none."""
    try:
        choice, usage = body["choices"][0], body.get("usage") or {}
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        reply = Reply(
            content=_text(content),
            refusal=_text(refusal),
            finish=choice.get("finish_reason"),
            model=str(body.get("model")),
            input_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
        )
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ValueError("the response is no chat completion") from None
    if any(not isinstance(count, int | None) for count in (reply.input_tokens, reply.output_tokens)):
        raise ValueError("the response counts its tokens in something else than whole numbers")
    return reply


def _text(value: Any) -> str | None:
    """A string that UTF-8 can hold: JSON's escapes can spell more than that."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _read_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise TrellisError(
            f"classify: labels: key_variable: the environment variable {variable} holds no key; set it, or say null "
            f"for an endpoint that asks for none"
        )
    return key


def _error(response: httpx2.Response) -> dict[str, Any]:
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {"message": error}


def _retry_after(response: httpx2.Response) -> float:
    """Seconds; 0 when the server does not say."""
    said = response.headers.get("retry-after", "")
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(0.0, seconds), LONGEST_TOLD_WAIT)
