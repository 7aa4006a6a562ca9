"""A source's tokens as the encode command left them: verified, looked up by document, and copied in any order."""

import errno
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trellis.errors import TrellisError
from trellis.manifest import Manifest, file_sha256
from trellis.progress import Bar

# Rows of a table that are looked at together; documents, and tokens, that are put in order before they are written.
ROWS = 1 << 17
DOCUMENTS = 1 << 18
WINDOW = 1 << 27
# Tokens in one write: many more at once cost Linux ten times the processor time, for it looks for pages as large as that.
WRITTEN = 1 << 17


@dataclass(frozen=True)
class Documents:
    """Documents of one source in reading order: `begin` int64, the first token's place among the source's tokens, and
    `length` uint32, the tokens with the end of text."""

    begin: np.ndarray
    length: np.ndarray


class TokenShards:
    """The shards of one source, one after the other in the order of the results given."""

    def __init__(self, source: str, made: Iterable[Manifest], tokenizer_sha256: str) -> None:
        """Raises TrellisError when a file is not what the encode command wrote, or was written with another tokenizer."""
        self.source = source
        self.shards = [manifest for manifest in made if manifest.paths(f"tokens/{source}.bin")]
        self.files = [manifest.path(f"tokens/{source}.bin") for manifest in self.shards]
        self.tables = [manifest.path(f"tokens/{source}.parquet") for manifest in self.shards]
        sizes = [self._verified(manifest, tokenizer_sha256) for manifest in self.shards]
        self.begins = np.cumsum([0, *sizes])

    @property
    def licences(self) -> list[str]:
        return sorted({name for made in self.shards for name in made.metrics["sources"][self.source]["licences"]})

    def _verified(self, made: Manifest, tokenizer_sha256: str) -> int:
        """The tokens of a shard."""
        path = made.path(f"tokens/{self.source}.bin")
        sidecar = json.loads(made.path(f"tokens/{self.source}.json").read_text(encoding="utf-8"))
        written, again = {file.sha256 for file in made.files if made.folder / file.path == path}, _again(path)
        if (size := path.stat().st_size) != 2 * sidecar["tokens"]:
            raise TrellisError(f"{path} holds {size:,} bytes, not the {2 * sidecar['tokens']:,} of its tokens; {again}")
        if {file_sha256(path), sidecar["sha256"]} != written:
            raise TrellisError(f"{path} was changed after it was written: its sha256 is another; {again}")
        if sidecar["tokenizer_sha256"] != tokenizer_sha256:
            raise TrellisError(f"{path} was written with another tokenizer than this mixture's; {again}")
        return sidecar["tokens"]

    def locate(self, selected: Path) -> tuple[Documents, Documents]:
        """The selected documents of (train, validation), each by rank. Raises TrellisError when one has no tokens."""
        ids, places, train = _selected(selected)
        begin, length = np.full(len(ids), -1, np.int64), np.zeros(len(ids), np.uint32)
        for doc_id, found_begin, found_length in self._table():
            # Asked in order, which spares the processor's cache.
            order = np.argsort(doc_id)
            found = np.searchsorted(ids, doc_id[order])
            known = found < len(ids)
            known[known] = ids[found[known]] == doc_id[order][known]
            rows, at = order[known], places[found[known]]
            begin[at], length[at] = found_begin[rows], found_length[rows]
        if (lost := begin < 0).any():
            raise TrellisError(
                f"source {self.source}: {lost.sum()} selected documents ({ids[lost[places]][0]}, ...) are not among its "
                f"tokens; {selected} was made of other documents: run `python -m trellis verify`"
            )
        return Documents(begin[:train], length[:train]), Documents(begin[train:], length[train:])

    def _table(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(doc_id, begin, length) of all documents, some at a time."""
        for path, (first, end) in zip(self.tables, pairwise(self.begins.tolist()), strict=True):
            begin = first
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=ROWS, columns=["doc_id", "n_tokens"]):
                    length = batch["n_tokens"].to_numpy().astype(np.int64) + 1
                    ends = begin + np.cumsum(length)
                    yield batch["doc_id"].to_numpy(), ends - length, length
                    begin = int(ends[-1])
            if begin != end:
                raise TrellisError(f"{path} does not list the {end - first:,} tokens of its shard; {_again(path)}")

    def write(self, path: Path, documents: Documents, orders: Iterable[np.ndarray], tokens: int, progress: Bar) -> None:
        """Writes the documents at the places that `orders` give, one after the other, to `path`, up to `tokens` tokens.
        Raises TrellisError when the disk is full."""
        left, window = tokens, np.empty(0, np.uint16)
        try:
            with path.open("wb") as file:
                for places in (some for order in orders for some in _windows(order, documents.length)):
                    length = documents.length[places].astype(np.int64)
                    size = int(length.sum())
                    if len(window) < size:
                        window = np.empty(size + WINDOW // 8, np.uint16)  # the next one may be larger
                    self._gather(documents.begin[places], length, window)
                    ready = window[: min(size, left)]
                    for start in range(0, len(ready), WRITTEN):
                        file.write(ready[start : start + WRITTEN])
                    left -= len(ready)
                    progress.advance(len(ready))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise TrellisError(
                f"{path}: the disk is full ({error.strerror}); the source's rows need {2 * tokens:,} bytes: make room and "
                "run again"
            ) from None

    def _gather(self, begin: np.ndarray, length: np.ndarray, window: np.ndarray) -> None:
        """Puts the documents' tokens one after the other into `window`; each shard is read from beginning to end."""
        target = np.cumsum(length) - length
        order = np.argsort(begin)
        begin, length, target = begin[order], length[order], target[order]
        bounds = np.searchsorted(begin, self.begins)
        for shard, (first, last) in enumerate(pairwise(bounds.tolist())):
            if first == last:
                continue
            # Mapped for this window only: pages that were read count as memory of the process for as long as they are. As a
            # plain array, for a slice of a memmap costs twenty times one of an array.
            tokens = np.asarray(np.memmap(self.files[shard], "<u2", mode="r"))
            starts, sizes = begin[first:last] - self.begins[shard], length[first:last]
            for to, start, size in zip(target[first:last].tolist(), starts.tolist(), sizes.tolist(), strict=True):
                window[to : to + size] = tokens[start : start + size]


def _again(path: Path) -> str:
    return f"delete {path.parents[1]} and run snakemake again"


def _windows(order: np.ndarray, length: np.ndarray) -> Iterator[np.ndarray]:
    """The places in `order`, as many at a time as hold about WINDOW tokens."""
    for start in range(0, len(order), DOCUMENTS):
        places = order[start : start + DOCUMENTS]
        ends = np.cumsum(length[places], dtype=np.int64)
        cuts = np.searchsorted(ends, np.arange(WINDOW, ends[-1], WINDOW))
        yield from np.split(places, np.unique(cuts[cuts > 0]))


def _selected(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """(doc_id rising, uint64; the place of each in reading order, training documents first, uint32; how many are for
    training)."""
    count = pq.read_metadata(path).num_rows
    ids, places, held = np.empty(count, np.uint64), np.empty(count, np.uint32), np.empty(count, bool)
    start = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS, columns=["doc_id", "split", "rank"]):
            part = slice(start, start := start + len(batch))
            ids[part], places[part] = batch["doc_id"].to_numpy(), batch["rank"].to_numpy()
            held[part] = pc.equal(batch["split"], "validation").to_numpy(zero_copy_only=False)
    train = count - int(held.sum())
    places[held] += np.uint32(train)
    order = np.argsort(ids)
    return ids[order], places[order], train
