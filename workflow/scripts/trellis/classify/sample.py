"""Which documents are labelled, and into which split each falls: pure functions of seed and doc_id.

A source's sample is drawn in two phases (Neyman, 1938): candidates by hash, a few times as many as are wanted, then from
each of their strata an equal part. What is rare and wanted, such as long reasoning, is so labelled more often than it
occurs; a document's weight says how many of its source it stands for.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from trellis.documents import read_rows

# How many times the sample is read to know the strata: a stratum can be raised to this many times its share.
CANDIDATES = 4


def hashed(seed: int, purpose: str, doc_id: int) -> float:
    """A number in 0..1, independent between purposes."""
    return xxhash.xxh3_64_intdigest(f"{seed}\0{purpose}\0{doc_id}".encode()) / 2**64


def quotas(sizes: dict[str, int], weights: dict[str, int], sample: int) -> dict[str, int]:
    """How many documents to take of each source (or stratum): `sample` in all, by weight (1 where none is given); what a
    small one cannot give goes to the others. All documents when there are no more than `sample`."""
    taken, left, open_sources = {}, sample, sorted(sizes)
    while open_sources:
        total = sum(weights.get(name, 1) for name in open_sources)
        small = [name for name in open_sources if sizes[name] * total <= left * weights.get(name, 1)]
        if not small:
            # Whole documents: cumulative rounding keeps the sum exact.
            before = 0
            for name in open_sources:
                after = before + weights.get(name, 1)
                taken[name] = left * after // total - left * before // total
                before = after
            break
        taken.update((name, sizes[name]) for name in small)
        left -= sum(sizes[name] for name in small)
        open_sources = [name for name in open_sources if name not in small]
    return taken


def take(doc_ids: Iterable[int], count: int, seed: int) -> set[int]:
    """The `count` documents with the lowest hash."""
    return set(heapq.nsmallest(count, doc_ids, key=lambda doc_id: (hashed(seed, "sample", doc_id), doc_id)))


def draw(
    tables: list[Path], size: int, count: int, seed: int, stratum: Callable[[str], str] | None
) -> dict[int, float]:
    """{doc_id: weight} of `count` of a source's `size` documents; `stratum` is a function of a text, None draws at large."""
    ids = (row["doc_id"] for row in read_rows(tables, ["doc_id"]))
    if stratum is None:
        return dict.fromkeys(take(ids, count, seed), size / max(count, 1))
    candidates = take(ids, CANDIDATES * count, seed)
    strata = defaultdict(list)
    for row in find(tables, candidates, ["doc_id", "text"]):
        strata[stratum(row["text"])].append(row["doc_id"])
    parts = quotas({name: len(members) for name, members in strata.items()}, {}, count)
    weights = {}
    for name, members in strata.items():
        share = len(members) / len(candidates)
        weights.update(dict.fromkeys(take(members, parts[name], seed), size * share / max(parts[name], 1)))
    return weights


def find(tables: Iterable[Path], doc_ids: Iterable[int], columns: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of the documents `doc_ids`, in the tables' order; row groups without any are not read."""
    wanted = np.array(sorted(doc_ids), dtype=np.uint64)
    for path in tables:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                here = np.isin(file.read_row_group(group, ["doc_id"])["doc_id"].to_numpy(), wanted)
                if here.any():
                    yield from file.read_row_group(group, columns).filter(pa.array(here)).to_pylist()


def split(doc_id: int, validation_share: float, test_share: float, seed: int) -> str:
    """train, validation or test."""
    place = hashed(seed, "split", doc_id)
    return "test" if place < test_share else "validation" if place < test_share + validation_share else "train"
