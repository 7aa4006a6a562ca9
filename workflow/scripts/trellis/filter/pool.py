"""A source's documents as a selection sees them, and which of them it may take."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import xxhash

from trellis.errors import TrellisError
from trellis.filter.columns import column, highest, is_null


@dataclass(frozen=True)
class Pool:
    """Arrays [documents] in the documents' order; `tokens` count the end of text, missing scores are NaN."""

    doc_id: np.ndarray
    tokens: np.ndarray
    duplicate: np.ndarray
    contaminated: np.ndarray
    held_out: np.ndarray
    relevance: np.ndarray
    complexity: np.ndarray
    quality: np.ndarray

    @cached_property
    def fate(self) -> np.ndarray:
        """The first reason for which each document leaves, or `left`."""
        reasons = {"duplicates": self.duplicate, "contaminated": self.contaminated, "held_out": self.held_out}
        return np.select(list(reasons.values()), list(reasons), default="left")

    def places(self, fate: str) -> np.ndarray:
        return np.flatnonzero(self.fate == fate)


def read_pool(features: Path, scores: Path, removed: np.ndarray, topics: list[int], share: float, seed: int) -> Pool:
    """Puts a source's side tables together. `removed` holds the doc_ids of duplicates; relevance is the highest of the
    scores at `topics`; `share` of the documents is held out by hash, whatever else becomes of them."""
    doc_id = column(features, "doc_id")
    if not np.array_equal(doc_id, column(scores, "doc_id")):
        raise TrellisError(f"{features} and {scores} list different documents; run `python -m trellis verify`")
    known = set(pq.read_schema(scores).names)
    nothing = np.full(len(doc_id), np.nan, np.float32)
    return Pool(
        doc_id=doc_id,
        tokens=column(features, "n_tokens").astype(np.int64) + 1,
        duplicate=np.isin(doc_id, removed),
        contaminated=~is_null(features, "contaminated_by"),
        held_out=hashed(doc_id, seed, "validation") < share,
        relevance=highest(scores, "topics", topics) if "topics" in known else nothing,
        complexity=column(scores, "complexity") if "complexity" in known else nothing,
        quality=column(scores, "quality") if "quality" in known else nothing,
    )


def hashed(doc_id: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """A number in 0..1 per document, independent between purposes: splitmix64 (Steele et al., 2014) of id and seed."""
    salt = np.uint64(xxhash.xxh3_64_intdigest(f"{seed}\0{purpose}".encode()))
    mixed = doc_id ^ salt
    for shift, multiplier in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(multiplier)
    return (mixed ^ (mixed >> np.uint64(31))) / 2.0**64
