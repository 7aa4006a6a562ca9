"""A wheel as an archive of texts, read within limits; whatever cannot be read is counted by reason and skipped.

| reason | what was set aside |
|---|---|
| corrupt | a member whose compressed bytes are damaged, encrypted, or packed by an unknown method |
| too_large | a member or a line over the limits below, whatever size it declares |
| bad_encoding | a member or a line that is not UTF-8 |
| malformed | a member or a line that is not JSON, or not of the shape that its reader expects |

Readers add reasons of their own through `Archive.reject`.
"""

import errno
import gzip
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from trellis.errors import TrellisError
from trellis.patterns import matching

MAX_WHOLE = 64 * 2**20  # bytes of a member that is held in memory at once, uncompressed
MAX_STREAMED = 2**30  # bytes of a member that is read line by line, uncompressed
MAX_LINE = 4 * 2**20  # bytes of one line
# What Python's zipfile and gzip raise on damaged bytes, found by damaging some.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError, OverflowError)


class _Damaged(Exception):
    """A member's bytes do not unpack."""


class Row(BaseModel):
    """The shape that a reader expects of a JSON object; keys that it does not name are ignored, types are not coerced."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


@dataclass(frozen=True)
class Raw:
    """A document as its source has it. `native_id` names it within the wheel; `text` None is counted as `null_text`;
    `licence` None means the source's own."""

    native_id: str
    text: str | None
    meta: dict[str, Any] = field(default_factory=dict)
    licence: str | None = None


class Archive:
    """The members of a wheel that match `patterns`, in the order of their paths; `rejected` counts by reason.

    Raises TrellisError when the wheel is no zip file or a pattern matches nothing.
    """

    def __init__(self, wheel: Path, patterns: list[str]) -> None:
        self.rejected: Counter[str] = Counter()
        try:
            self._zip = zipfile.ZipFile(wheel)
        except DAMAGE as error:
            raise TrellisError(
                f"{wheel.name} is not a readable zip file ({error}); delete its folder and run again"
            ) from None
        names = sorted({info.filename for info in self._zip.infolist() if not info.is_dir()})
        try:
            self.members = matching(names, patterns)
        except KeyError as missing:
            self._zip.close()
            raise TrellisError(
                f"`{missing.args[0]}` matches none of the {len(names)} members of {wheel.name}"
            ) from None

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def reject(self, reason: str) -> None:
        """Counts one thing that is set aside."""
        self.rejected[reason] += 1

    def read(self, member: str) -> bytes | None:
        """The whole of a member, or None when it was rejected."""
        try:
            with self._open(member) as stream:
                content = stream.read(MAX_WHOLE + 1)
        except _Damaged:
            return self.reject("corrupt")
        if len(content) > MAX_WHOLE:
            return self.reject("too_large")
        return content

    def text(self, member: str) -> str | None:
        """The whole of a member as text, or None when it was rejected."""
        content = self.read(member)
        return None if content is None else self._decode(content)

    def json(self, member: str, shape: Any) -> Any:
        """The whole of a member as one JSON value of the type `shape`, or None when it was rejected."""
        text = self.text(member)
        return None if text is None else self._validate(TypeAdapter(shape), text)

    def rows(self, member: str, shape: Any) -> Iterator[tuple[str, Any]]:
        """The lines of a JSONL member (`.gz` is unpacked) as (native id, value of the type `shape`), streamed."""
        adapter = TypeAdapter(shape)
        for number, line in self._lines(member):
            text = self._decode(line)
            value = None if text is None else self._validate(adapter, text)
            if value is not None:
                yield f"{member}:{number}", value

    def _lines(self, member: str) -> Iterator[tuple[int, bytes]]:
        """The numbered lines that are not blank and not over the limit; the rest of a damaged member counts as one."""
        number = total = 0
        try:
            with self._open(member) as stream:
                while line := stream.readline(MAX_LINE + 1):
                    number, total, size = number + 1, total + len(line), len(line)
                    while not line.endswith(b"\n") and (more := stream.readline(MAX_LINE)):
                        line, total, size = more, total + len(more), size + len(more)
                        if total > MAX_STREAMED:
                            break
                    if size > MAX_LINE or total > MAX_STREAMED:
                        self.reject("too_large")
                    elif line.strip():
                        yield number, line
                    if total > MAX_STREAMED:
                        return
        except _Damaged:
            self.reject("corrupt")

    @contextmanager
    def _open(self, member: str) -> Iterator[IO[bytes]]:
        try:
            with self._zip.open(member) as packed:
                if member.endswith(".gz"):
                    with gzip.open(packed) as stream:
                        yield stream
                else:
                    yield packed
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # the disk, not the bytes
            raise _Damaged from error

    def _decode(self, content: bytes) -> str | None:
        try:
            return content.decode()
        except UnicodeDecodeError:
            return self.reject("bad_encoding")

    def _validate(self, adapter: TypeAdapter, text: str) -> Any:
        try:
            return adapter.validate_json(text)
        except ValidationError:
            return self.reject("malformed")
