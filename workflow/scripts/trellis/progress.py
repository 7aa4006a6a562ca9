"""Progress of long work: a rich bar with rate and time left on a terminal, plain lines in the log.

Several stages may run side by side on one terminal; the one that holds the terminal's lock draws a bar.
"""

import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOG = logging.getLogger("trellis")
SECONDS_BETWEEN_LINES = 10.0


class Bar:
    """Counts work done; `advance` is cheap enough to call for every item."""

    def __init__(self, label: str, total: int, unit: str, draw) -> None:
        self.label, self.total, self.unit, self.draw = label, total, unit, draw
        self.done, self.start, self.last = 0, time.monotonic(), time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Adds `count` units; `note` (a loss, say) is shown beside them."""
        self.done += count
        if self.draw:
            self.draw(self.done, note)
        if time.monotonic() - self.last >= SECONDS_BETWEEN_LINES:
            self.last = time.monotonic()
            self.line(note)

    def line(self, note: str = "") -> None:
        seconds = max(time.monotonic() - self.start, 1e-9)
        rate = self.done / seconds
        left = f", {max(self.total - self.done, 0) / rate:.0f} s left" if rate else ""
        LOG.info(
            "%s: %d of %d %s, %.1f %s/s%s %s", self.label, self.done, self.total, self.unit, rate, self.unit, left, note
        )


@contextmanager
def bar(label: str, total: int, unit: str) -> Iterator[Bar]:
    """A bar over `total` units of work; the log gets its last line when the work is done."""
    with _terminal(label, total) as draw:
        counter = Bar(label, total, unit, draw)
        yield counter
        counter.line()


@contextmanager
def _terminal(label: str, total: int):
    lock = open(os.ttyname(sys.stderr.fileno()), "w") if sys.stderr.isatty() else None  # noqa: SIM115
    try:
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        lock = None
    if lock is None:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with lock, Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task, start = progress.add_task(label, total=total, rate="", note=""), time.monotonic()

        def draw(done: int, note: str) -> None:
            rate = done / max(time.monotonic() - start, 1e-9)
            progress.update(task, completed=done, rate=f"{rate:,.1f}/s", note=note)

        yield draw
