"""One file of the hub, fetched in as many requests as it takes, and believed only by its hash.

Not with `hf_hub_download`, which (huggingface_hub 2.4) keeps nothing of a file for the next process, never looks at its
sha256, gives up when a body is answered with 5xx or a signed link has expired, and stays with a body that only trickles.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from huggingface_hub import get_session
from huggingface_hub.utils import HfHubHTTPError, hf_raise_for_status, httpx, parse_ratelimit_headers

from trellis.experiment.lock import PinnedFile

LOG = logging.getLogger("trellis")
ATTEMPTS = 8  # in a row without a new byte
PAUSE, MAX_PAUSE = 0.5, 60.0  # seconds before the second attempt, doubled for each one after it
MAX_ASKED = 300.0  # seconds that a server may tell us to wait
TIMEOUT = 30.0  # seconds to connect, and of silence
WINDOW, WINDOW_BYTES = 60.0, 2**16  # a body that brings less than these bytes in these seconds is given up
CHUNK = 2**20
RANGE = re.compile(r"bytes (\d+)-\d+/(?:(\d+)|\*)")


class Unreachable(Exception):
    """No attempt brought a new byte; the message says how the last one failed."""


class WrongContent(Exception):
    """Twice, the file was not the one that is pinned; the message says what it was."""


class _OtherSize(Exception):
    """The answer cannot be the pinned file; the message says how large it is."""


class _Again(Exception):
    """This attempt failed, another may not. `asked` is the pause that the server asks for, in seconds; `slow` means that
    too little came in too much time."""

    def __init__(self, reason: str, asked: float = 0.0, slow: bool = False) -> None:
        super().__init__(reason)
        self.asked, self.slow = asked, slow


class Part:
    """The beginning of a file, on disk as soon as it has arrived; what an earlier process left is hashed again.

    `moved` is told of every change of its size, in bytes.
    """

    def __init__(self, path: Path, moved: Callable[[int], object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.size, self._hash, self._moved = 0, hashlib.sha256(), moved
        self._file = path.open("a+b", buffering=0)
        self._file.seek(0)
        while piece := self._file.read(CHUNK):
            self._count(piece)

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def append(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:  # an unbuffered write may take less than it is given
            rest = rest[self._file.write(rest) :]
        self._count(piece)

    def clear(self) -> None:
        self._file.truncate(0)
        self._moved(-self.size)
        self.size, self._hash = 0, hashlib.sha256()

    def _count(self, piece: bytes) -> None:
        self.size += len(piece)
        self._hash.update(piece)
        self._moved(len(piece))


@dataclass(frozen=True)
class Transfer:
    """Brings `part` to the file `pin`, which lies at `url`; `name` is what the log calls it."""

    name: str
    url: str
    headers: Mapping[str, str]
    pin: PinnedFile
    part: Part

    def run(self) -> None:
        """Raises WrongContent, Unreachable, HfHubHTTPError (the hub's last word: 4xx), OfflineModeIsEnabled, httpx's
        HTTPError or InvalidURL (the address or a redirect makes no sense), and OSError where the part cannot be written."""
        for _ in range(2):
            try:
                self._complete()
                if self.part.sha256 == self.pin.sha256:
                    return
                wrong = f"{self.part.size} bytes with sha256 {self.part.sha256}"
                self.part.clear()
            except _OtherSize as error:
                wrong = str(error)
            LOG.warning("%s: not the pinned file, but %s", self.name, wrong)
        raise WrongContent(wrong)

    def _complete(self) -> None:
        """Fetches until the part has its pinned size."""
        failures, furthest = 0, self.part.size
        while self.part.size < self.pin.bytes:
            try:
                self._request()
            except (HfHubHTTPError, httpx.UnsupportedProtocol, httpx.LocalProtocolError):
                raise
            except (_Again, httpx.TransportError) as error:
                slow = error.slow if isinstance(error, _Again) else isinstance(error, httpx.TimeoutException)
                enough = self.part.size - furthest >= (WINDOW_BYTES if slow else 1)
                failures, furthest = 1 if enough else failures + 1, max(furthest, self.part.size)
                reason = str(error) or type(error).__name__
                if failures == ATTEMPTS:
                    raise Unreachable(reason) from None
                pause = max(getattr(error, "asked", 0.0), min(PAUSE * 2 ** (failures - 1), MAX_PAUSE))
                have = f"{self.part.size} of {self.pin.bytes} bytes"
                LOG.warning("%s: %s; has %s, asks again in %.1f s", self.name, reason, have, pause)
                time.sleep(pause)

    def _request(self) -> None:
        """Asks once for what is missing, always at the hub: the links that it redirects to expire. httpx drops the token
        on the way to another origin."""
        part, headers = self.part, {**self.headers, "Accept-Encoding": "identity"}
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
        with get_session().stream("GET", self.url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
            self._check_status(response)
            self._check_head(response)
            since, came = time.monotonic(), 0
            for piece in response.iter_raw():
                if part.size + len(piece) > self.pin.bytes:
                    part.clear()
                    raise _OtherSize(f"more than {self.pin.bytes} bytes")
                part.append(piece)
                came += len(piece)
                if (seconds := time.monotonic() - since) >= WINDOW:
                    if came < WINDOW_BYTES:
                        raise _Again(f"only {came} bytes came in {seconds:.0f} s", slow=True)
                    since, came = time.monotonic(), 0
        if part.size < self.pin.bytes:
            raise _Again("the body ended too early")

    def _check_status(self, response: httpx.Response) -> None:
        """Returns for 200 and 206."""
        status = response.status_code
        if status in (200, 206):
            return
        if status == 416:
            self.part.clear()
        at_hub = _origin(response.url) == _origin(httpx.URL(self.url))
        if at_hub and status < 500 and status not in (408, 416, 429):
            hf_raise_for_status(response)
        raise _Again(f"{'the hub' if at_hub else 'the file store'} answered {status}", _asked_pause(response))

    def _check_head(self, response: httpx.Response) -> None:
        """Returns where the body continues the part, which is emptied for a body that starts from the beginning."""
        headers = response.headers
        if headers.get("Content-Type", "").startswith("text/html") and not self.name.endswith((".html", ".htm")):
            raise _Again("the answer was a web page (does this network want a sign-in?)")
        if response.status_code == 206:
            span = RANGE.fullmatch(headers.get("Content-Range", ""))
            if not self.part.size or not span or int(span[1]) != self.part.size:
                self.part.clear()
                raise _Again("the answer was another range than the one asked for")
            size = span[2]
        else:
            size = headers.get("Content-Length")
        if size and int(size) != self.pin.bytes:
            raise _OtherSize(f"{size} bytes")
        if response.status_code == 200 and self.part.size:
            self.part.clear()


def _asked_pause(response: httpx.Response) -> float:
    """Seconds, by Retry-After (seconds or a date) and, of a 429, by RateLimit."""
    pauses, after = [0.0], response.headers.get("Retry-After", "").strip()
    with suppress(ValueError, TypeError, OverflowError):
        pauses.append(float(after) if after.isdecimal() else parsedate_to_datetime(after).timestamp() - time.time())
    limit = parse_ratelimit_headers(response.headers)
    if response.status_code == 429 and limit and limit.remaining == 0:
        pauses.append(float(limit.reset_in_seconds))
    return min(max(pauses), MAX_ASKED)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
