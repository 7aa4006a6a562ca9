"""Answers that were paid for, kept for good: a folder per model and its parameters, keyed by what was asked.

Every process appends to a file of its own and reads all of them, so that any number of them, on any file system, never
write over each other. An answer is in the file, whole, before the next is dealt with: killing the process loses none;
a power cut loses at most the last second.
"""

import json
import os
import re
import secrets
import time
from pathlib import Path
from typing import NamedTuple, Self

from trellis.address import digest
from trellis.experiment.classify import OpenAI
from trellis.experiment.section import semantic

SECONDS_BETWEEN_SYNCS = 1.0


class Reply(NamedTuple):
    """A model's answer: its text, or why it gave none (`refusal`), how it ended, which model it was, and what it took in
    tokens (None where the endpoint does not say)."""

    content: str | None
    refusal: str | None
    finish: str | None
    model: str
    input_tokens: int | None
    output_tokens: int | None


class Cache:
    """`folder` holds JSON lines of {"key", the fields of a Reply}; a line that a crash cut short is passed over."""

    def __init__(self, backend: OpenAI) -> None:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", backend.model)
        self.folder = Path(backend.cache) / f"{name}-{digest(semantic(backend))[:16]}"
        self.replies: dict[str, Reply] = {}
        self._file: int | None = None
        self._synced = 0.0
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in path.read_bytes().splitlines():
                # Only a line that was cut short is passed over; any other surprise is an error.
                try:
                    kept = json.loads(line)
                except ValueError:
                    continue
                key = kept.pop("key")
                self.replies[key] = Reply(**kept)

    def add(self, key: str, reply: Reply) -> None:
        """Keeps an answer."""
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{os.getpid()}-{secrets.token_hex(8)}.jsonl"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self.replies[key] = reply
        line = json.dumps({"key": key, **reply._asdict()}) + "\n"
        os.write(self._file, line.encode())
        if time.monotonic() - self._synced >= SECONDS_BETWEEN_SYNCS:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None
