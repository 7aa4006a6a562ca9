"""Every document's tokens, once, by a pool of processes.

The unit of work is a block: some row groups of a document table, about 8 MB of text. A process reads it, encodes it and
keeps what came of it as one file in `work/`; the first process joins the files in order. So no text passes from one process
to another, a process holds one block and the encodings of BATCH characters whatever the size of the shard, and a run that
was killed goes on after the blocks that it has.

Processes, not the library's own threads: taking the ids out of its objects holds Python's lock, 3 to 5 % of the work, which
no second thread shares (`benchmarks/tokens.py` measures both).
"""

import errno
import hashlib
import io
import json
import logging
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from trellis.command import Result
from trellis.documents import END_OF_TEXT, tables_by_source
from trellis.errors import TrellisError
from trellis.manifest import WORK, file_sha256, write_atomically
from trellis.progress import bar
from trellis.spec import Spec

LOG = logging.getLogger("trellis")
SCHEMA = pa.schema([("doc_id", pa.uint64()), ("n_tokens", pa.uint32())])
DTYPE = np.dtype("<u2")
# Bytes of text in a block, unless one row group has more; read ROWS documents at a time, encoded BATCH characters at a time.
BLOCK, ROWS, BATCH = 8_000_000, 100, 250_000


def run(spec: Spec, out: Path) -> Result:
    """Writes tokens/. Raises TrellisError for a tokenizer with ids beyond `vocab_size`, a process that was killed and a
    full disk."""
    tokenizer = spec.input("tokenizer").path("tokenizer/tokenizer.json")
    _check_ids(tokenizer, spec.config["vocab_size"])
    work = out / WORK / spec.fingerprint
    tables = tables_by_source(spec.inputs_of("documents"))
    sources = {name: blocks_of(paths, work / name) for name, paths in tables.items()}
    for left in work.rglob(".*"):  # what a process was writing when it was killed
        left.unlink(missing_ok=True)
    try:
        encode_blocks([block for blocks in sources.values() for block in blocks], tokenizer, spec.threads)
        (out / "tokens").mkdir()
        sha256 = file_sha256(tokenizer)
        metrics = {name: _join(blocks, out / "tokens", name, sha256) for name, blocks in sources.items()}
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        shutil.rmtree(out / "tokens", ignore_errors=True)
        raise TrellisError(
            f"the disk of {out} is full; make room, as much as the text takes, and run again: the blocks that are encoded "
            f"are kept"
        ) from None
    rows = {f"tokens/{name}.parquet": entry["documents"] for name, entry in metrics.items()}
    return Result({"sources": metrics}, rows)


def _check_ids(path: Path, vocab_size: int) -> None:
    largest = max(Tokenizer.from_file(str(path)).get_vocab().values())
    if largest >= vocab_size:
        raise TrellisError(
            f"{path} gives ids up to {largest:,}, and tokenizer.vocab_size is {vocab_size:,}, so that they cannot be "
            f"written; raise it or take another tokenizer"
        )


@dataclass(frozen=True)
class Block:
    """Row groups of a document table that are encoded together, and the file that keeps what came of them."""

    table: Path
    row_groups: list[int]
    rows: int
    file: Path


def blocks_of(tables: list[Path], folder: Path) -> list[Block]:
    """A source's documents in their order; what comes of them is to be kept in `folder`."""
    blocks: list[Block] = []
    for table in tables:
        metadata = pq.read_metadata(table)
        column, groups, rows, size = metadata.schema.names.index("text"), [], 0, 0
        for group in range(metadata.num_row_groups):
            entry = metadata.row_group(group)
            groups, rows = [*groups, group], rows + entry.num_rows
            size += entry.column(column).total_uncompressed_size
            if size >= BLOCK or group == metadata.num_row_groups - 1:
                blocks.append(Block(table, groups, rows, folder / f"{len(blocks):06}.npz"))
                groups, rows, size = [], 0, 0
    return blocks


def encode_blocks(blocks: list[Block], tokenizer: Path, threads: int) -> None:
    """Encodes all blocks that have no file yet. Raises TrellisError when a process of the pool was killed."""
    pending = [block for block in blocks if not block.file.exists()]
    LOG.info("%d of %d blocks are encoded already", len(blocks) - len(pending), len(blocks))
    with bar("encode", sum(block.rows for block in blocks), "document") as progress:
        progress.advance(progress.total - sum(block.rows for block in pending))
        if not pending:
            return
        # Spawned: a process forked from one that runs threads can stand still for ever.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(threads, len(pending)), context, _begin)
        try:
            for done in as_completed([pool.submit(encode_block, block, tokenizer) for block in pending]):
                progress.advance(done.result())
        except BrokenProcessPool:
            raise TrellisError(
                "a process of the pool was killed while it encoded, most likely for lack of memory; give the job more "
                "memory or fewer threads and run again: the blocks that are encoded are kept"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """What a process of the pool does first: one thread each, and no life after the first process."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def encode_block(block: Block, tokenizer: Path) -> int:
    """Writes the block's file; returns the number of its documents."""
    encoder, end = _encoder(tokenizer)
    doc_ids, lengths, tokens = [np.empty(0, np.uint64)], [], [np.empty(0, DTYPE)]
    licences, size = set(), 0
    with pq.ParquetFile(block.table, pre_buffer=False) as file:
        columns = ["doc_id", "text", "licence"]
        for batch in file.iter_batches(batch_size=ROWS, row_groups=block.row_groups, columns=columns):
            doc_ids.append(batch["doc_id"].to_numpy())
            licences.update(batch["licence"].unique().to_pylist())
            size += pc.sum(pc.binary_length(batch["text"])).as_py()
            for texts in _batches(batch["text"].to_pylist()):
                ids: list[int] = []
                for encoding in encoder.encode_batch_fast(texts, add_special_tokens=False):
                    ids += encoding.ids
                    ids.append(end)
                    lengths.append(len(encoding))
                tokens.append(np.array(ids, DTYPE))
    content = io.BytesIO()
    np.savez(
        content,
        doc_id=np.concatenate(doc_ids),
        n_tokens=np.array(lengths, np.uint32),
        tokens=np.concatenate(tokens),
        bytes=np.array(size),
        licences=np.array(sorted(licences), np.str_),
    )
    block.file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(block.file, content.getvalue())
    return block.rows


@cache
def _encoder(path: Path) -> tuple[Tokenizer, int]:
    """The tokenizer, for which a text that spells a special token out is text and no text too long; the end of text."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, tokenizer.token_to_id(END_OF_TEXT)


def _batches(texts: list[str]) -> Iterator[list[str]]:
    """The texts in order, BATCH characters at a time; a longer one alone."""
    batch, size = [], 0
    for text in texts:
        if batch and size + len(text) > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def _join(blocks: list[Block], folder: Path, name: str, tokenizer_sha256: str) -> dict:
    """Writes a source's three files from its blocks; returns its metrics."""
    documents = tokens = size = 0
    licences, sha256 = set(), hashlib.sha256()
    with (
        (folder / f"{name}.bin").open("wb") as binary,
        (folder / f"{name}.parquet").open("wb") as table,
        pq.ParquetWriter(table, SCHEMA, compression="zstd", use_dictionary=False) as writer,
    ):
        for block in blocks:
            with np.load(block.file) as file:
                made = {key: file[key] for key in file.files}
            binary.write(made["tokens"].data)
            sha256.update(made["tokens"].data)
            writer.write_table(pa.table([made["doc_id"], made["n_tokens"]], schema=SCHEMA))
            documents, tokens = documents + len(made["doc_id"]), tokens + len(made["tokens"])
            size += int(made["bytes"])
            licences.update(made["licences"].tolist())
    sidecar = {
        "documents": documents,
        "tokens": tokens,
        "dtype": "uint16",
        "tokenizer_sha256": tokenizer_sha256,
        "sha256": sha256.hexdigest(),
    }
    (folder / f"{name}.json").write_text(json.dumps(sidecar, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return {"documents": documents, "tokens": tokens, "bytes": size, "licences": sorted(licences)}
