"""JSON rows of text files, packed or not, streamed line by line within limits of size.

| reason | what was set aside |
|---|---|
| corrupt | the rest of a file or member whose bytes do not unpack |
| too_large | a line over MAX_LINE, or the rest of what unpacks to more than MAX_RATIO times its size |

Every job reads a file from its start, and skips the lines of the others without parsing them. What ends the reading is
counted by the job whose line would have been next, so that the counts of all jobs add up to those of one.
"""

import json
import lzma
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from trellis.download import archive
from trellis.download.tables import Share, Unreadable, raise_unless_damaged

MAX_LINE = 32 * 2**20  # bytes of one line
MAX_WHOLE = 64 * 2**20  # bytes of a JSON array or a text, which are held in memory at once
MAX_RATIO = 100  # bytes unpacked from each stored one; text rarely gives 20
ALLOWANCE = 2**26  # bytes unpacked of any file, however small
BLOCK = 2**20  # bytes unpacked at once
CODECS = {".gz": "gzip", ".zst": "zstd"}
LINES = (".jsonl", ".ndjson", ".json")
DAMAGE = (*archive.DAMAGE, lzma.LZMAError)
MARK = b"\xef\xbb\xbf"  # some editors begin a UTF-8 file with it


def rows(path: Path, share: Share, rejected: Counter[str]) -> Iterator[tuple[int, Any]]:
    """The numbered rows of a `.jsonl` or `.json` file, `.gz` and `.zst` unpacked: lines as bytes, or, where the file is
    one JSON array, its values. Raises Unreadable when the file does not begin as its suffix says, or is too long an
    array."""
    with open_stream(path) as stream:
        try:
            head = stream.read(BLOCK)
        except DAMAGE as error:
            raise_unless_damaged(error)
            raise Unreadable(f"does not begin like a {path.suffix} file ({error})") from None
        if not path.name.removesuffix(path.suffix if path.suffix in CODECS else "").endswith(".json"):
            array = False
        else:
            array = head.removeprefix(MARK).lstrip()[:1] == b"["
        if array:
            found = _array(stream, head, share, rejected)
            yield from ((number, value) for number, value in enumerate(found) if share.takes(number))
            return
    with open_stream(path) as stream:
        yield from _lines(stream, path.stat().st_size, share, rejected)


def member_rows(path: Path, share: Share, rejected: Counter[str]) -> Iterator[tuple[str, int, bytes]]:
    """The numbered lines of the JSON members of a zip file, as (member, number, line).

    Members are shared out whole while there are enough of them, then their lines. Raises Unreadable when the file is no zip
    file or has no such member.
    """
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise_unless_damaged(error)
        raise Unreadable(f"is no zip file ({error})") from None
    with archive:
        members = sorted({info.filename for info in archive.infolist() if info.filename.endswith(LINES)})
        if not members:
            raise Unreadable(f"has no member that ends in {', '.join(LINES)}")
        for number, member in enumerate(members):
            readers = [job for job in range(share.shards) if job % len(members) == number] or [number % share.shards]
            if share.shard not in readers:
                continue
            part = Share(readers.index(share.shard), len(readers))
            try:
                stream = archive.open(member)
            except DAMAGE as error:
                raise_unless_damaged(error)
                rejected["corrupt"] += part.takes(0)
                continue
            with stream:
                size = archive.getinfo(member).compress_size
                for row, line in _lines(stream, size, part, rejected):
                    yield member, row, line


def whole(path: Path, rejected: Counter[str]) -> str | None:
    """The text of a file, `.gz` and `.zst` unpacked, or None when it was rejected."""
    try:
        with open_stream(path) as stream:
            content = stream.read(MAX_WHOLE + 1)
    except DAMAGE as error:
        raise_unless_damaged(error)
        rejected["corrupt"] += 1
        return None
    if len(content) > MAX_WHOLE:
        rejected["too_large"] += 1
        return None
    try:
        return content.removeprefix(MARK).decode()
    except UnicodeDecodeError:
        rejected["bad_encoding"] += 1
        return None


def open_stream(path: Path) -> IO[bytes]:
    """A file's bytes, unpacked as its suffix says."""
    codec = CODECS.get(path.suffix)
    return closing(pa.CompressedInputStream(pa.OSFile(str(path)), codec)) if codec else path.open("rb")


def _array(stream: IO[bytes], head: bytes, share: Share, rejected: Counter[str]) -> list[Any]:
    try:
        content = head + stream.read(MAX_WHOLE)
    except DAMAGE as error:
        raise_unless_damaged(error)
        rejected["corrupt"] += share.takes(0)
        return []
    if len(content) > MAX_WHOLE:
        raise Unreadable(f"is one JSON array of more than {MAX_WHOLE >> 20} MiB, not one row a line (JSONL)")
    try:
        return json.loads(content.removeprefix(MARK))
    except (ValueError, RecursionError):
        rejected["malformed"] += share.takes(0)
        return []


def _lines(stream: IO[bytes], stored: int, share: Share, rejected: Counter[str]) -> Iterator[tuple[int, bytes]]:
    """The share's lines that are not blank."""
    number, left, rest, skipping = 0, ALLOWANCE + MAX_RATIO * stored, b"", False
    try:
        rest = stream.read(len(MARK)).removeprefix(MARK)
        while block := stream.read(BLOCK):
            left -= len(block)
            if left < 0:
                rejected["too_large"] += share.takes(number)
                return
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                if share.takes(number):
                    if skipping or len(line) > MAX_LINE:
                        rejected["too_large"] += 1
                    elif line.strip():
                        yield number, line
                number, skipping = number + 1, False
            if len(rest) > MAX_LINE:
                rest, skipping = b"", True
    except DAMAGE as error:
        raise_unless_damaged(error)
        rejected["corrupt"] += share.takes(number)
        return
    if share.takes(number):
        if skipping:
            rejected["too_large"] += 1
        elif rest.strip():
            yield number, rest
