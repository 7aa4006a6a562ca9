"""Work in batches that are the same however often a run was cut, and finished parts of it that are never made again.

Batching moves logits in their last digits, so a batch's company is part of its answers: batches have one size and are put
together by length, the longest first, so that memory runs out at once or never.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trellis.evaluate.likelihood import Pair
from trellis.evaluate.prompting import Prompt
from trellis.manifest import write_atomically
from trellis.progress import bar
from trellis.records import read_records

# Items in a finished part: whole batches, so 256 where the batch divides it.
SHARD = 256
Work = TypeVar("Work", Prompt, Pair)
Records = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Batches:
    """Makes records of work in batches of `size`, and keeps them in `folder` a shard at a time."""

    folder: Path
    size: int
    title: str

    def make(self, label: str, work: list[Work], make: Callable[[list[Work]], list[dict[str, Any]]]) -> Records:
        """The record of every piece of work by its id; `make` gives those of a batch."""
        order = sorted(work, key=lambda piece: (-len(piece), piece.id))
        step = max(SHARD // self.size, 1) * self.size
        found: Records = {}
        with bar(f"{self.title} {label}", len(order), "items") as progress:
            for start in range(0, len(order), step):
                path = self.folder / f"{label}-{start // step:05d}.jsonl"
                shard = order[start : start + step]
                if path.exists():
                    progress.advance(len(shard))
                else:
                    lines = []
                    for first in range(0, len(shard), self.size):
                        batch = shard[first : first + self.size]
                        lines += [json.dumps(record, allow_nan=False) + "\n" for record in make(batch)]
                        progress.advance(len(batch))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(path, "".join(lines))
                found |= {record["id"]: record for record in read_records(path)}
        return found
