"""What a training writes down as it goes: metrics.jsonl, speed.jsonl, and the numbers for a tracker.

The lines grow in `work`, where they can be watched. A run that goes on from a checkpoint keeps those up to it; those after
it come again.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trellis.errors import TrellisError
from trellis.manifest import write_atomically
from trellis.pretrain.tracking import Tracker

METRICS, SPEED = "metrics.jsonl", "speed.jsonl"


class Journal:
    """The journal of a run that goes on after `done` steps; `track` opens its tracker. Raises TrellisError where lines of
    those steps are missing, or where no more can be written."""

    def __init__(self, work: Path, done: int, track: Callable[[int], Tracker]) -> None:
        self.work = work
        kept = {name: [line for line in read_lines(work / name) if line["step"] <= done] for name in (METRICS, SPEED)}
        if (found := sum("loss" in line for line in kept[METRICS])) != done:
            raise TrellisError(
                f"{work / METRICS} holds {found} of the {done} steps that its checkpoint knows; delete {work} and run again "
                f"to begin anew"
            )
        for name, lines in kept.items():
            write_atomically(work / name, _spelled(lines))
        self.tracker = track(done)

    def metrics(self, lines: list[dict[str, Any]]) -> None:
        """Adds lines to metrics.jsonl."""
        self._add(METRICS, lines)

    def speed(self, line: dict[str, Any]) -> None:
        """Adds a line to speed.jsonl."""
        self._add(SPEED, [line])

    def sync(self) -> None:
        """Makes what was written last: a checkpoint relies on the lines of its steps."""
        for name in (METRICS, SPEED):
            with (self.work / name).open("rb") as file:
                os.fsync(file.fileno())

    def close(self) -> None:
        """No more comes."""
        self.tracker.close()

    def _add(self, name: str, lines: list[dict[str, Any]]) -> None:
        try:
            with (self.work / name).open("a", encoding="utf-8") as file:
                file.write(_spelled(lines))
        except OSError as error:
            raise TrellisError(
                f"nothing more can be written to {self.work / name} ({error.strerror}); the last checkpoint is kept: make "
                f"room and run again to go on from it"
            ) from None
        for line in lines:
            self.tracker.log(line["step"], dict(_numbers(line)))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal, up to one that was cut off when a machine died. None where there is no file."""
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def _spelled(lines: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)


def _numbers(line: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """A line's numbers by their paths, `validation/sources/NAME/loss`; all but its position."""
    for key, value in line.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{key}/")
        elif value is not None and key not in ("step", "tokens"):
            yield prefix + key, value
