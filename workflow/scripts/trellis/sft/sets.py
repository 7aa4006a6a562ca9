"""Sets of conversations from the hub: their rows, read within limits and converted, and a seeded sample of what fits.

| reason | what was set aside, beside the converters' own |
|---|---|
| malformed | a row that is no JSON object, and the rest of an array after it |
| corrupt | the rest of a file whose bytes do not unpack |
| too_large | a line over MAX_LINE, an array over MAX_ARRAY, a conversation over MAX_CONVERSATION |
"""

import gzip
import importlib
import json
import logging
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import xxhash

from trellis.documents import read_rows
from trellis.errors import TrellisError
from trellis.experiment.sft import SftHubSet
from trellis.manifest import Manifest
from trellis.progress import bar
from trellis.sft.conversation import Message

LOG = logging.getLogger("trellis")
MAX_ARRAY = 512 * 2**20  # bytes of a JSON array, which is held in memory as text
MAX_LINE = 16 * 2**20  # bytes
MAX_CONVERSATION = 2**20  # characters
BETWEEN = re.compile(r"[\s,]*")
FORMATS = (".parquet", ".json", ".jsonl", ".json.gz", ".jsonl.gz")
# What pyarrow, gzip and json raise on damaged bytes; an OSError that has a number is the disk's.
DAMAGE = (pa.ArrowException, zlib.error, EOFError, OSError, ValueError)


def sample(
    chosen: SftHubSet,
    fetched: Manifest,
    seed: int,
    max_length: int,
    measure: Callable[[list[Message]], int],
    gives_away: Callable[[dict[str, Any]], bool],
    scratch: Path,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """`chosen.examples` examples {id, schema_id: None, messages} of at most `max_length` tokens by `measure` that give no
    evaluation text away, and the set's metrics. They are the first in the order of a hash of seed and id, so a larger
    sample begins with the smaller one.

    All rows are converted, to count them, and wait in the file `scratch`; only the sample is held in memory. Raises
    TrellisError when too few rows can be used.
    """
    # The plan names the converter's module in the job's `modules`, so that its code is part of the address.
    convert = importlib.import_module(f"trellis.sft.converters.{chosen.converter}").convert
    rows, set_aside, ranked = 0, Counter[str](), []
    examples, too_long, contaminated, tokens = [], 0, 0, 0
    with scratch.open("w+b") as waiting:
        for row_id, row in _rows(fetched):
            rows += 1
            messages = row if isinstance(row, str) else convert(row)
            if not isinstance(messages, str) and sum(len(each["content"]) for each in messages) > MAX_CONVERSATION:
                messages = "too_large"
            if isinstance(messages, str):
                set_aside[messages] += 1
                continue
            ranked.append((xxhash.xxh3_64_intdigest(row_id.encode(), seed), waiting.tell()))
            example = {"id": row_id, "schema_id": None, "messages": messages}
            waiting.write(json.dumps(example).encode() + b"\n")
        LOG.info("%s: %d of %d rows converted; set aside: %s", chosen.repo, len(ranked), rows, _listed(set_aside))
        with bar(f"sample {chosen.repo}", chosen.examples, "examples") as progress:
            for _, place in sorted(ranked):
                if len(examples) == chosen.examples:
                    break
                waiting.seek(place)
                example = json.loads(waiting.readline())
                length = measure(example["messages"])
                if length > max_length:
                    too_long += 1
                    continue
                if gives_away(example):
                    contaminated += 1
                    continue
                examples.append(example)
                tokens += length
                progress.advance()
    if len(examples) < chosen.examples:
        raise TrellisError(
            f"sft.hub: {chosen.repo}: {chosen.examples} examples are asked for, and {len(examples)} of {rows} rows can be "
            f"used (set aside: {_listed(set_aside + Counter(too_long=too_long, contaminated=contaminated))}); "
            + (
                f"write examples: {len(examples)}, or name more files"
                if examples
                else "correct its files and converter"
            )
        )
    metrics = {
        "rows": rows,
        "converted": len(ranked),
        "set_aside": dict(sorted(set_aside.items())),
        "too_long": too_long,
        "contaminated": contaminated,
        "examples": len(examples),
        "tokens": tokens,
    }
    return examples, metrics


def _rows(fetched: Manifest) -> Iterator[tuple[str, Any]]:
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


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "nothing"
