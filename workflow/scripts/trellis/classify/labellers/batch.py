"""Requests by the file: at half the price with most providers, and within a day.

A batch carries a mark. Its record, under that mark, lies beside the cached answers before the batch is created and until
its answers are read, so that whoever comes next, after a kill too, waits for the same batch and pays once.
"""

import asyncio
import json
import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from trellis.address import canonical_json
from trellis.classify.labellers.budget import Budget
from trellis.classify.labellers.cache import Cache
from trellis.classify.labellers.endpoint import FILE_SECONDS, Endpoint, NoReply, reply_of, verdict
from trellis.classify.labellers.request import Failures, Request
from trellis.errors import TrellisError
from trellis.experiment.classify import OpenAI
from trellis.manifest import write_atomically
from trellis.progress import Bar, bar

LOG = logging.getLogger("trellis")
MOST_REQUESTS = 50_000
OVER = ("completed", "expired", "cancelled", "failed")


@dataclass
class Batch:
    """A batch that was, or is about to be, created; `id` is None until the endpoint has said it."""

    path: Path
    endpoint: str
    keys: list[str]
    id: str | None = None

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps({"endpoint": self.endpoint, "keys": self.keys, "id": self.id}))

    @property
    def mark(self) -> str:
        return self.path.stem


async def fulfil(
    requests: dict[str, Request], backend: OpenAI, cache: Cache, budget: Budget, failures: Failures
) -> None:
    """Every request ends in the cache or among the failures; an expired or missing one is submitted again. Raises
    TrellisError when the budget is used up, and when the endpoint turns a whole batch down."""
    async with Endpoint(backend) as endpoint:
        with bar("labels", len(requests), "answer") as progress:
            await _Batches(requests, backend, endpoint, cache, budget, failures, progress).finish()


class _Batches:
    """The batches of one wave of requests."""

    def __init__(
        self,
        requests: dict[str, Request],
        backend: OpenAI,
        endpoint: Endpoint,
        cache: Cache,
        budget: Budget,
        failures: Failures,
        progress: Bar,
    ) -> None:
        self.requests, self.backend, self.endpoint = requests, backend, endpoint
        self.cache, self.budget, self.failures, self.progress = cache, budget, failures, progress
        self.folder = cache.folder / "batches"
        self.submitted: dict[str, int] = {}
        self.most_open = math.inf
        self.open: list[Batch] = []

    async def finish(self) -> None:
        await self._pick_up()
        on_their_way = {key for batch in self.open for key in batch.keys}
        waiting = [key for key in self.requests if key not in on_their_way]
        while waiting or self.open:
            waiting = await self._submit(waiting)
            if waiting and not self.open:
                raise self.budget.exhausted()
            await asyncio.sleep(self.backend.poll_seconds)
            for batch in list(self.open):
                state = await self._call("GET", f"/batches/{batch.id}")
                if state.get("status") in OVER:
                    waiting += await self._collect(batch, state)

    async def _pick_up(self) -> None:
        """The batches with requests of ours that another process left behind."""
        for path in sorted(self.folder.glob("*.json")):
            batch = Batch(path, **json.loads(path.read_text(encoding="utf-8")))
            if batch.endpoint != self.backend.endpoint or not self.requests.keys() & set(batch.keys):
                continue
            batch.id = batch.id or await self._find(batch)
            if batch.id is None:
                path.unlink(missing_ok=True)
                continue
            LOG.info("labels: going on with batch %s of %d requests", batch.id, len(batch.keys))
            self._opened(batch)

    async def _submit(self, waiting: list[str]) -> list[str]:
        """Sends as many batches as budget and queue take; the others wait until the open ones are done."""
        while waiting and len(self.open) < self.most_open:
            keys, lines = self._pack(waiting)
            if not keys:
                break
            await self._create(keys, lines)
            waiting = waiting[len(keys) :]
        return waiting

    def _pack(self, waiting: list[str]) -> tuple[list[str], list[bytes]]:
        """The first requests, as many as one file and the budget hold, and their lines."""
        lines: list[bytes] = []
        size, bound = 0, 0.0
        for key in waiting[:MOST_REQUESTS]:
            request = self.requests[key]
            order = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": request.body()}
            line = (canonical_json(order) + "\n").encode()
            size, bound = size + len(line), bound + self.budget.bound(request.size)
            if not self.budget.fits(bound) or (lines and size > self.backend.batch_bytes):
                break
            lines.append(line)
        return waiting[: len(lines)], lines

    async def _create(self, keys: list[str], lines: list[bytes]) -> None:
        mark = secrets.token_hex(16)
        batch = Batch(self.folder / f"{mark}.json", self.backend.endpoint, keys)
        content = {"file": (f"{mark}.jsonl", b"".join(lines), "application/jsonl")}
        file = await self._call("POST", "/files", seconds=FILE_SECONDS, data={"purpose": "batch"}, files=content)
        batch.save()
        order = {
            "input_file_id": file["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"trellis": mark},
        }
        batch.id = await self._order(batch, order)
        batch.save()
        LOG.info("labels: batch %s of %d requests", batch.id, len(keys))
        self._opened(batch)

    async def _order(self, batch: Batch, order: dict[str, Any]) -> str:
        """Creates a batch; never blindly again, for a lost response may be that of a batch that runs, and is billed."""
        for _ in range(self.backend.attempts):
            try:
                return (await self._call("POST", "/batches", attempts=1, json=order))["id"]
            except NoReply as error:
                problem = str(error)
                if error.reason != "network":
                    break
                if found := await self._find(batch):
                    return found
            await asyncio.sleep(self.backend.poll_seconds)
        raise TrellisError(f"{self.endpoint.title}: {self.backend.endpoint} creates no batch: {problem}")

    async def _find(self, batch: Batch) -> str | None:
        """The id of a batch that was created, although nobody heard of it."""
        after: dict[str, str] = {}
        while True:
            page = await self._call("GET", "/batches", params={"limit": "100", **after})
            for state in page["data"]:
                if (state.get("metadata") or {}).get("trellis") == batch.mark:
                    return state["id"]
            if not page.get("has_more") or not page["data"]:
                return None
            after = {"after": page["data"][-1]["id"]}

    def _opened(self, batch: Batch) -> None:
        self.open.append(batch)
        self.budget.reserve(self._bound(batch))

    def _bound(self, batch: Batch) -> float:
        return sum(self.budget.bound(self.requests[key].size) for key in batch.keys if key in self.requests)

    async def _collect(self, batch: Batch, state: dict) -> list[str]:
        """Keeps the answers of a batch that is over; returns the requests to be sent again."""
        files = [state[name] for name in ("output_file_id", "error_file_id") if state.get(name)]
        left = set(batch.keys)
        for file in files:
            for line in await self._call("GET", f"/files/{file}/content", _lines, seconds=FILE_SECONDS):
                self._keep(line, left)
        batch.path.unlink(missing_ok=True)
        self.open.remove(batch)
        self.budget.release(self._bound(batch))
        if state["status"] == "failed" and not files:
            return self._turned_down(batch, (state.get("errors") or {}).get("data") or [])
        return [key for key in batch.keys if key in left and self._again(key)]

    def _turned_down(self, batch: Batch, errors: list[dict]) -> list[str]:
        """The requests of a batch that the queue had no room for beside the others; any other cause is an error."""
        if self.open and any(error.get("code") == "token_limit_exceeded" for error in errors):
            self.most_open = len(self.open)
            LOG.info("labels: the queue takes no more than %d batches of this size", self.most_open)
            return [key for key in batch.keys if key in self.requests]
        said = self.endpoint.hidden("; ".join(str(error.get("message")) for error in errors[:3]))
        raise TrellisError(f"{self.endpoint.title}: batch {batch.id} was turned down: {said or 'no reason given'}")

    def _keep(self, line: bytes, left: set[str]) -> None:
        """Takes in one line of a result; `left` loses the requests that need not be sent again."""
        try:
            result = json.loads(line)
            key, response = result["custom_id"], result.get("response") or {}
            status, body = response.get("status_code"), response.get("body")
            reply = reply_of(body) if status == 200 else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if key not in left:
            return
        if reply:
            left.remove(key)
            self.cache.add(key, reply)
            self.failures.answered = True
            if key in self.requests:
                self.budget.spent += self.budget.cost(reply, self.requests[key].size)
                self.progress.advance(note=f"{self.budget.spent:.2f} USD")
            return
        error = (body or {}).get("error") if isinstance(body, dict) else None
        meaning = verdict(status, error or {}) if isinstance(status, int) else "retry"
        if meaning not in ("retry", "fatal"):
            left.remove(key)
            self.failures.add(key, meaning, self.endpoint.hidden((error or {}).get("message", status)))

    def _again(self, key: str) -> bool:
        if key not in self.requests:
            return False
        self.submitted[key] = self.submitted.get(key, 0) + 1
        if self.submitted[key] < self.backend.attempts:
            return True
        self.failures.add(key, "network", f"no answer in {self.backend.attempts} batches")
        return False

    async def _call(
        self, method: str, path: str, read: Callable[[httpx2.Response], Any] | None = None, **content
    ) -> Any:
        """A JSON object, or what `read` makes of the response. Raises NoReply only for a single attempt."""
        try:
            return await self.endpoint.call(method, path, read or _object, **content)
        except NoReply as error:
            if content.get("attempts") == 1:
                raise
            raise TrellisError(f"{self.endpoint.title}: {self.backend.endpoint}{path}: {error}") from None


def _lines(response: httpx2.Response) -> list[bytes]:
    return response.content.split(b"\n")


def _object(response: httpx2.Response) -> dict:
    """Raises ValueError when the response is no JSON object."""
    body = response.json()
    if not isinstance(body, dict):
        raise ValueError("the response is no JSON object")
    return body
