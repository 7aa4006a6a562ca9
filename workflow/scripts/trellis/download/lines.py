"""JSON rows of text files, packed or not, streamed line by line within limits of size.

| reason | what was set aside |
|---|---|
| corrupt | the rest of a file or member whose bytes do not unpack |
| too_large | a line over MAX_LINE, or the rest of what unpacks to more than MAX_RATIO times its size |
| malformed, bad_encoding | an array that is no JSON, a text that is no UTF-8 |

Every job reads a packed file from its start, and skips the lines of the others without parsing them.
"""

import json
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from trellis.download import archive
from trellis.download.reading import Reading, Unreadable, raise_unless_damaged

MAX_LINE = 32 * 2**20  # bytes of one line
MAX_WHOLE = 64 * 2**20  # bytes of a JSON array or a text, which are held in memory at once
MAX_RATIO = 100  # bytes unpacked of each stored one; text rarely gives 20
ALLOWANCE = 2**26  # bytes unpacked of any file, however small
BLOCK = 2**18  # bytes unpacked at once; what stands before damage in the same block is lost
CODECS = {".gz": "gzip", ".zst": "zstd"}
MAGIC = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}  # what a file of the codec begins with
SUFFIXES = (".jsonl", ".ndjson", ".json")
MARK = b"\xef\xbb\xbf"  # some editors begin a UTF-8 file with it
DAMAGE = (*archive.DAMAGE, lzma.LZMAError)


def unpacked_name(path: Path) -> str:
    """The file's name without the suffix of its codec."""
    return path.name.removesuffix(path.suffix) if path.suffix in CODECS else path.name


def rows(path: Path, reading: Reading) -> Iterator[tuple[int, Any]]:
    """The numbered rows of a `.jsonl` or `.json` file, `.gz` and `.zst` unpacked: lines as bytes, or, where the file is
    one JSON array, its values. Raises Unreadable when it does not begin as its suffix says, or is too long an array."""
    if path.suffix in MAGIC:
        with path.open("rb") as file:
            if not file.read(4).startswith(MAGIC[path.suffix]):
                raise Unreadable(f"does not begin like a {path.suffix} file")
    with _unpacked(path) as (stored, stream):
        try:
            head = stream.read(BLOCK)
        except DAMAGE as error:
            raise_unless_damaged(error)
            return reading.reject("corrupt", 0)
        if unpacked_name(path).endswith(".json") and head.removeprefix(MARK).lstrip()[:1] == b"[":
            found = enumerate(_array(head, stream, reading))
            yield from ((number, value) for number, value in found if reading.takes(number))
            return reading.advance(path.stat().st_size)
        done = 0
        for block in _lines(head, stream, path.stat().st_size, reading):
            yield from block
            reading.advance(stored.tell() - done)
            done = stored.tell()


def member_rows(path: Path, reading: Reading) -> Iterator[tuple[str, int, bytes]]:
    """The lines of the JSON members of a zip file, as (member, number, line). Raises Unreadable when the file is no zip
    file or has no such member."""
    try:
        packed = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise_unless_damaged(error)
        raise Unreadable(f"is no zip file ({error})") from None
    with packed:
        members = sorted({info.filename for info in packed.infolist() if info.filename.endswith(SUFFIXES)})
        if not members:
            raise Unreadable(f"has no member that ends in {', '.join(SUFFIXES)}")
        for number, member in enumerate(members):
            size = min(packed.getinfo(member).compress_size, path.stat().st_size)
            if inside := reading.within(number, len(members)):
                try:
                    stream = packed.open(member)
                except DAMAGE as error:
                    raise_unless_damaged(error)
                    inside.reject("corrupt", 0)
                else:
                    with stream:
                        for block in _lines(b"", stream, size, inside):
                            yield from ((member, row, line) for row, line in block)
            reading.advance(size)


def whole(path: Path, number: int, reading: Reading) -> str | None:
    """The text of the file `number`, `.gz` and `.zst` unpacked, or None when it was rejected."""
    try:
        with _unpacked(path) as (_, stream):
            content = stream.read(MAX_WHOLE + 1)
    except DAMAGE as error:
        raise_unless_damaged(error)
        return reading.reject("corrupt", number)
    if len(content) > MAX_WHOLE:
        return reading.reject("too_large", number)
    try:
        return content.removeprefix(MARK).decode()
    except UnicodeDecodeError:
        return reading.reject("bad_encoding", number)


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[pa.NativeFile, IO[bytes]]]:
    """The stored file and the stream of its content."""
    with pa.OSFile(str(path)) as stored:
        if path.suffix in CODECS:
            with pa.CompressedInputStream(stored, CODECS[path.suffix]) as stream:
                yield stored, stream
        else:
            yield stored, stored


def _array(head: bytes, stream: IO[bytes], reading: Reading) -> list[Any]:
    try:
        content = head + stream.read(MAX_WHOLE)
    except DAMAGE as error:
        raise_unless_damaged(error)
        reading.reject("corrupt", 0)
        return []
    if len(content) > MAX_WHOLE:
        raise Unreadable(f"is one JSON array of more than {MAX_WHOLE >> 20} MiB, and not one row a line")
    try:
        return json.loads(content.removeprefix(MARK))
    except (ValueError, RecursionError):
        reading.reject("malformed", 0)
        return []


def _lines(head: bytes, stream: IO[bytes], size: int, reading: Reading) -> Iterator[list[tuple[int, bytes]]]:
    """The job's lines that are not blank, block by block; `head` was read of the stream before."""
    number, left, begun, skipping = 0, ALLOWANCE + MAX_RATIO * size, [], False
    block = head
    while True:
        try:
            block = block or stream.read(BLOCK)
        except DAMAGE as error:
            raise_unless_damaged(error)
            return reading.reject("corrupt", number)
        left -= len(block)
        if left < 0:
            return reading.reject("too_large", number)
        lines = block.split(b"\n") if block else [b"", b""]  # at the end of the stream ends a line
        if len(lines) > 1:
            lines[0] = b"".join([*begun, lines[0]])
            lines[0] = lines[0] if number else lines[0].removeprefix(MARK)
            if skipping or len(lines[0]) > MAX_LINE:
                reading.reject("too_large", number)
                lines[0] = b""
            begun, skipping, own = [], False, (reading.shard - number) % reading.shards
            taken = enumerate(lines[own : len(lines) - 1 : reading.shards])
            yield [
                (number + own + reading.shards * index, line) for index, line in taken if line and not line.isspace()
            ]
            number += len(lines) - 1
        if not block:
            return None
        if not skipping:
            begun.append(lines[-1])
            if sum(map(len, begun)) > MAX_LINE:
                begun, skipping = [], True
        block = b""
