"""The client with which the hub is asked: every answer has a deadline, and what may pass is asked for again.

Timeouts, broken connections, 429 and 5xx are repeated a few times, when the hub says if it says when. `huggingface_hub`
by itself waits for ever, repeats some requests and not others, and sleeps as long as it is told.
"""

import logging
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from huggingface_hub import constants, get_session, is_offline_mode, set_client_factory
from huggingface_hub.utils import get_token, httpx, parse_ratelimit_headers

from trellis.errors import TrellisError

LOG = logging.getLogger("trellis")
TIMEOUT = 20.0  # seconds without a byte
DEADLINE = 120.0  # seconds for a whole answer
PAUSES = (1.0, 4.0, 10.0)  # seconds before the second attempt, the third and the last
LONGEST_PAUSE = 600.0  # seconds; the hub counts requests in windows of five minutes
AGAIN = {408, 429, 500, 502, 503, 504}
BROKEN = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)


def connect() -> None:
    """Makes `huggingface_hub` use the client, in all of this process. Raises TrellisError in offline mode."""
    if is_offline_mode():
        raise TrellisError("HF_HUB_OFFLINE is set, and the hub cannot be asked; unset it and run again")
    if not isinstance(get_session(), Patient):
        set_client_factory(lambda: Patient(follow_redirects=True, timeout=None))


def endpoint() -> str:
    """HF_ENDPOINT or the hub itself, fit to be shown."""
    return re.sub(r"://[^/\s@]+@", "://", constants.ENDPOINT)


def safe(said: object) -> str:
    """One line, without the token and the passwords of addresses: errors quote what was sent."""
    text = re.sub(r"://[^/\s@]+@", "://", " ".join(str(said).split()))
    return text.replace(get_token() or "\0", "HF_TOKEN")[:300]


class Patient(httpx.Client):
    """An httpx client for small answers to requests that may be repeated."""

    def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """A whole answer (nothing is streamed here). Raises TrellisError after the last attempt."""
        if any(request.extensions["timeout"].values()):  # the library's own side question, which may fail
            return super().send(request, stream=stream, **options)
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT)
        host = f"{request.url.scheme}://{request.url.netloc.decode()}"
        pauses = iter(PAUSES)
        while True:
            try:
                answer = super().send(request, stream=True, **options)
                answer.stream = _Within(answer.stream, time.monotonic() + DEADLINE, host)
                answer.read()
            except BROKEN as error:
                problem = f"{host} cannot be reached ({safe(error) or type(error).__name__})"
                wished, advice = None, "check the network, or set HF_ENDPOINT to a mirror"
            else:
                if answer.status_code not in AGAIN:
                    return answer
                problem, advice = f"{host} answered {answer.status_code} to {request.url.path}", "try again later"
                wished = _wished_pause(answer.headers)
            if wished and wished > LONGEST_PAUSE:
                raise TrellisError(f"{problem} and wants to be left alone for {wished:.0f} s; run again after that")
            pause = next(pauses, None)
            if pause is None:
                raise TrellisError(f"{problem}, {len(PAUSES) + 1} times; {advice}")
            pause = pause if wished is None else wished
            LOG.warning("%s; asking again in %.0f s", problem, pause)
            time.sleep(pause)


class _Within(httpx.SyncByteStream):
    """A body that must have arrived in time: each byte that trickles in would put a read timeout off."""

    def __init__(self, stream: httpx.SyncByteStream, deadline: float, host: str) -> None:
        self._stream, self._deadline, self._host = stream, deadline, host

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            if time.monotonic() > self._deadline:
                raise TrellisError(f"{self._host} needs more than {DEADLINE:.0f} s for one answer; try again later")
            yield part

    def close(self) -> None:
        self._stream.close()


def _wished_pause(headers: httpx.Headers) -> float | None:
    """Seconds that the hub asks for: Retry-After, in seconds or as a date, or the window of RateLimit."""
    if wished := headers.get("Retry-After", "").strip():
        if wished.isdigit():
            return float(wished)
        try:
            return max(0.0, (parsedate_to_datetime(wished) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError):
            return None
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit and not limit.remaining else None
