"""Executes a model's SQL in a process of its own, which is stopped when it takes too long and started again when it died."""

import contextlib
import json
import logging
import math
import os
import selectors
import subprocess
import sys
import time
from typing import Any, NamedTuple

from trellis.errors import TrellisError
from trellis.evaluate import sandbox_worker

LOG = logging.getLogger("trellis")
# Wall-clock limit of a query. The worker's own budget ends whatever it can within a fraction of that.
SECONDS = 10.0
LONGEST_QUERY = 10_000
LONGEST_REPLY = 8 * 2**20
# Sums of the same numbers in another order differ in their last digits.
TOLERANCE = 1e-9
PROBE = json.dumps({"tables": [], "fillings": [{}], "query": "SELECT 1"})
# No site packages, no folder of this package on the path, and of the environment what Python may need to start.
COMMAND = (sys.executable, "-I", "-S", sandbox_worker.__file__)
ENVIRONMENT = ("LD_LIBRARY_PATH",)


class Executed(NamedTuple):
    """Whether the query is one statement that reads, and its rows over each filling of the tables, None where it failed."""

    compiled: bool
    results: list[list[list[Any]] | None]


class Sandbox:
    """One worker, kept from query to query."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.process: subprocess.Popen[bytes] | None = None

    def execute(self, tables: list[str], fillings: list[dict[str, list[list[Any]]]], query: str) -> Executed:
        """Runs `query` over a new database for each filling: rows by table, of the `tables` that CREATE TABLE statements
        make. Raises TrellisError when no worker can be started; whatever the query does is a result without rows."""
        failed = Executed(False, [None for _ in fillings])
        if len(query) > LONGEST_QUERY:
            return failed
        request = json.dumps({"tables": tables, "fillings": fillings, "query": query})
        process = self._worker()
        try:
            return Executed(**json.loads(self._ask(process, request)))
        except (OSError, TimeoutError, ValueError) as error:
            LOG.warning("a query was stopped with its process (%s): %.200r", error, query)
            self.close()
            return failed

    def close(self) -> None:
        """Ends the worker; the next query starts another."""
        if self.process is not None:
            self.process.kill()
            with contextlib.suppress(OSError):
                self.process.communicate()
            self.process = None

    def _worker(self) -> subprocess.Popen[bytes]:
        if self.process is None or self.process.poll() is not None:
            self.close()
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
            self.process = subprocess.Popen(COMMAND, **pipes, env=environment, cwd="/")
            try:
                alive = Executed(**json.loads(self._ask(self.process, PROBE)))
            except (OSError, TimeoutError, ValueError) as error:
                self.close()
                raise TrellisError(f"no process for SQL can be started with {' '.join(COMMAND)} ({error})") from None
            assert alive.results == [[[1]]]
        return self.process

    def _ask(self, process: subprocess.Popen[bytes], request: str) -> bytes:
        """The reply's line. Raises OSError or ValueError when the process dies, TimeoutError when it takes too long."""
        ends = time.monotonic() + self.seconds
        process.stdin.write(request.encode() + b"\n")
        process.stdin.flush()
        reply = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not reply.endswith(b"\n"):
                if not selector.select(max(ends - time.monotonic(), 0)):
                    raise TimeoutError(f"no result after {self.seconds:g} seconds")
                part = os.read(process.stdout.fileno(), 2**16)
                if not part or len(reply) > LONGEST_REPLY:
                    raise ValueError("the process died")
                reply += part
        return reply


def same_rows(found: list[list[Any]] | None, wanted: list[list[Any]], ordered: bool) -> bool:
    """Whether two results are the same, as lists where the order was asked for, else as multisets."""
    if found is None or len(found) != len(wanted):
        return False
    if ordered:
        return all(map(_same_row, found, wanted))
    left = list(found)
    for row in wanted:
        place = next((place for place, other in enumerate(left) if _same_row(other, row)), None)
        if place is None:
            return False
        del left[place]
    return True


def _same_row(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(_same_cell, one, other))


def _same_cell(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE) if numbers else one == other
