"""Rows of the files of a set: JSON, JSON lines and parquet, read within limits; what cannot be read is a reason.

| reason | what was set aside, beside the converters' own |
|---|---|
| malformed | a row that is no JSON object, and the rest of an array after it |
| corrupt | the rest of a file whose bytes do not unpack |
| too_large | a line over MAX_LINE, an array over MAX_ARRAY |
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from trellis.documents import read_rows
from trellis.errors import TrellisError
from trellis.manifest import Manifest

MAX_ARRAY = 512 * 2**20  # bytes of a JSON array, which is held in memory as text
MAX_LINE = 16 * 2**20  # bytes
BETWEEN = re.compile(r"[\s,]*")
FORMATS = (".parquet", ".json", ".jsonl", ".json.gz", ".jsonl.gz")
# What pyarrow, gzip and json raise on damaged bytes; an OSError that has a number is the disk's.
DAMAGE = (pa.ArrowException, zlib.error, EOFError, OSError, ValueError)


def set_rows(fetched: Manifest) -> Iterator[tuple[str, Any]]:
    """(id, row or the reason why there is none) of all files in the order of their paths."""
    root = fetched.folder / "files"
    for path in fetched.paths("files/"):
        name = f"{fetched.metrics['repo']}/{path.relative_to(root).as_posix()}"
        if not name.endswith(FORMATS):
            raise TrellisError(f"sft.hub: {name} is none of {', '.join(FORMATS)}; leave it out of `files`")
        for number, row in enumerate(_file_rows(path), 1):
            yield f"{name}:{number}", row


def _file_rows(path: Path) -> Iterator[Any]:
    try:
        if path.suffix == ".parquet":
            yield from read_rows([path])
        else:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
                yield from _json_rows(stream)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno:
            raise
        yield "corrupt"


def _json_rows(stream: IO[bytes]) -> Iterator[Any]:
    """The items of an array, or the lines that are not blank."""
    if not stream.peek(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        yield from map(_object, _lines(stream))
        return
    content = stream.read(MAX_ARRAY + 1)
    if len(content) > MAX_ARRAY:
        yield "too_large"
        return
    text, decoder = content.decode("utf-8-sig"), json.JSONDecoder()
    at = text.index("[") + 1
    while not text.startswith("]", at := BETWEEN.match(text, at).end()):
        try:
            item, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            # Where the next item begins cannot be told.
            yield "malformed"
            return
        yield item if isinstance(item, dict) else "malformed"


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines that are not blank; of one that is over the limit, a part that is."""
    while line := stream.readline(MAX_LINE + 1):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE)
        if line.strip():
            yield line


def _object(line: bytes) -> Any:
    if len(line) > MAX_LINE:
        return "too_large"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "malformed"
    return row if isinstance(row, dict) else "malformed"
