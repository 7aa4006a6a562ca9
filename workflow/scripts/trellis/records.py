"""JSON lines: how schemas, items, examples and generations travel, one object a line in UTF-8."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file, one at a time."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> int:
    """Writes one object a line and returns how many; a lone surrogate, which UTF-8 cannot say, is written escaped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, allow_nan=False) + "\n")
            count += 1
    return count
