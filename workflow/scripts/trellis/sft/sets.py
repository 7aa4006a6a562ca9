"""Sets of conversations from the hub: their rows, converted, and a seeded sample of those that may be trained on.

A set is read once: every row is converted, to count it, and waits in a file, because what may be trained on is known only
when all sets have been read.
"""

import importlib
import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from trellis.errors import TrellisError
from trellis.experiment.sft import SftHubSet
from trellis.manifest import Manifest
from trellis.progress import bar
from trellis.sft.conversation import Message
from trellis.sft.rows import set_rows

LOG = logging.getLogger("trellis")
MAX_CONVERSATION = 2**20  # characters
Example = dict[str, Any]


@dataclass(frozen=True)
class Converted:
    """The conversations of a set, {id, schema_id: None, messages} a line of `path`; `ranked` holds (hash of seed and id,
    place in the file), `set_aside` {id, reason} of the other rows, in their order."""

    chosen: SftHubSet
    path: Path
    rows: int
    set_aside: list[dict[str, str]]
    ranked: list[tuple[int, int]]

    @property
    def reasons(self) -> Counter[str]:
        """How many rows were set aside, by reason."""
        return Counter(row["reason"] for row in self.set_aside)


def convert(chosen: SftHubSet, fetched: Manifest, seed: int, path: Path, note: Callable[[Example], None]) -> Converted:
    """Converts every row; each conversation goes to `path`, and past `note`."""
    # The plan names the converter's module in the job's `modules`, so that its code is part of the address.
    converter = importlib.import_module(f"trellis.sft.converters.{chosen.converter}").convert
    rows, set_aside, ranked = 0, [], []
    with path.open("wb") as waiting:
        for row_id, row in set_rows(fetched):
            rows += 1
            messages = row if isinstance(row, str) else converter(row)
            if not isinstance(messages, str) and _characters(messages) > MAX_CONVERSATION:
                messages = "too_large"
            if isinstance(messages, str):
                set_aside.append({"id": row_id, "reason": messages})
                continue
            example = {"id": row_id, "schema_id": None, "messages": messages}
            note(example)
            ranked.append((xxhash.xxh3_64_intdigest(row_id.encode(), seed), waiting.tell()))
            waiting.write(json.dumps(example).encode() + b"\n")
    converted = Converted(chosen, path, rows, set_aside, sorted(ranked))
    LOG.info("%s: %d of %d rows converted; set aside: %s", chosen.repo, len(ranked), rows, _listed(converted.reasons))
    return converted


def sample(
    converted: Converted,
    max_length: int,
    measure: Callable[[list[Message]], int],
    left_out: dict[str, Callable[[Example], bool]],
) -> tuple[list[Example], dict[str, Any]]:
    """`chosen.examples` examples of at most `max_length` tokens by `measure` that nothing in `left_out` (a test by the
    reason) speaks against, and the set's metrics. They are the first in the order of a hash of seed and id, so a larger
    sample begins with the smaller one. Raises TrellisError when too few rows can be used."""
    chosen, examples, tokens = converted.chosen, [], 0
    reasons = Counter(dict.fromkeys(("too_long", *left_out), 0))
    with converted.path.open("rb") as waiting, bar(f"sample {chosen.repo}", chosen.examples, "examples") as progress:
        for _, place in converted.ranked:
            if len(examples) == chosen.examples:
                break
            waiting.seek(place)
            example = json.loads(waiting.readline())
            length = measure(example["messages"])
            against = (reason for reason, holds in left_out.items() if holds(example))
            if reason := "too_long" if length > max_length else next(against, None):
                reasons[reason] += 1
                continue
            examples.append(example)
            tokens += length
            progress.advance()
    if len(examples) < chosen.examples:
        todo = f"write examples: {len(examples)}, or name more files" if examples else "correct its files and converter"
        raise TrellisError(
            f"sft.mixes: {chosen.repo}: {chosen.examples} examples are asked for, and {len(examples)} of {converted.rows} "
            f"rows can be used (set aside: {_listed(converted.reasons + reasons)}); {todo}"
        )
    metrics = {
        "rows": converted.rows,
        "converted": len(converted.ranked),
        "set_aside": dict(sorted(converted.reasons.items())),
        **reasons,
        "examples": len(examples),
        "tokens": tokens,
    }
    return examples, metrics


def _characters(messages: list[Message]) -> int:
    return sum(len(each["content"]) for each in messages)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()) if count) or "nothing"
