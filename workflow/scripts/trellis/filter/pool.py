"""A source's documents as a selection sees them, and which of them it may take."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trellis.document_split import held_out
from trellis.errors import TrellisError
from trellis.filter.columns import numbers, stream, vectors

# What becomes of a document: the first reason for which it leaves, or the last.
FATES = ("duplicates", "contaminated", "held_out", "unscored", "outside", "available")
HELD_OUT, UNSCORED, OUTSIDE, AVAILABLE = (
    FATES.index(name) for name in ("held_out", "unscored", "outside", "available")
)
SCORES = {"topics": (0, 1), "complexity": (1, 5), "code_quality": (1, 5), "structured_data": (0, 3)}


@dataclass(frozen=True)
class Part:
    """Some of a source's documents, in their order; arrays [documents]. `start` is the place of the first in the source,
    `tokens` count the end of text, `fate` is a place in FATES before any rule. Scores: `topics` [documents, labels],
    the others [documents], NaN where there is none. `slice` holds strings."""

    start: int
    doc_id: np.ndarray
    tokens: np.ndarray
    fate: np.ndarray
    topics: np.ndarray
    complexity: np.ndarray
    code_quality: np.ndarray
    structured_data: np.ndarray
    slice: pa.ChunkedArray


@dataclass(frozen=True)
class Removed:
    """The doc_ids, rising, of a source's near-duplicates and of what leaves because a near-duplicate is contaminated."""

    duplicates: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    contaminated: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))


class Pool:
    """The documents of a source. `labels` name the columns of topics; `share` of the documents is held out by hash,
    whatever else becomes of them."""

    def __init__(
        self, features: list[Path], scores: list[Path], removed: Removed, labels: list[str], share: float, seed: int
    ) -> None:
        self.features, self.scores = features, scores
        self.removed, self.labels, self.share, self.seed = removed, labels, share, seed
        self.documents = sum(pq.read_metadata(path).num_rows for path in features)
        self.sliced = "slice" in pq.read_schema(features[0]).names

    def parts(self) -> Iterator[Part]:
        """The documents in their order. Raises TrellisError when features and scores list different ones."""
        start = 0
        features = stream(self.features, ["doc_id", "n_tokens", "contaminated_by", "slice"])
        scores = stream(self.scores, ["doc_id", *SCORES]) if self.scores else None
        for table, scored in zip_longest(features, scores or []):
            if scores and (table is None or scored is None or not table["doc_id"].equals(scored["doc_id"])):
                one, other = self.features[0].parent, self.scores[0].parent
                raise TrellisError(f"{one} and {other} list different documents; run `python -m trellis verify`")
            yield self._part(start, table, table.select(["doc_id"]) if scored is None else scored)
            start += len(table)

    def doc_ids(self) -> Iterator[np.ndarray]:
        for table in stream(self.features, ["doc_id"]):
            yield table["doc_id"].to_numpy()

    def _part(self, start: int, features: pa.Table, scores: pa.Table) -> Part:
        doc_id = features["doc_id"].to_numpy()
        reasons = [
            _among(doc_id, self.removed.duplicates),
            pc.is_valid(features["contaminated_by"]).to_numpy() | _among(doc_id, self.removed.contaminated),
            held_out(doc_id, self.seed, self.share),
        ]
        return Part(
            start=start,
            doc_id=doc_id,
            tokens=features["n_tokens"].to_numpy().astype(np.int64) + 1,
            fate=np.select(reasons, range(len(reasons)), default=AVAILABLE),
            topics=vectors(scores, "topics", len(self.labels)),
            complexity=numbers(scores, "complexity"),
            code_quality=numbers(scores, "code_quality"),
            structured_data=numbers(scores, "structured_data"),
            slice=features["slice"]
            if "slice" in features.column_names
            else pa.chunked_array([pa.nulls(len(features))]),
        )


def _among(doc_id: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of the ids are among the sorted `known`; asked in order, which spares the processor's cache."""
    if not len(known):
        return np.zeros(len(doc_id), bool)
    order = np.argsort(doc_id)
    places = np.minimum(np.searchsorted(known, doc_id[order]), len(known) - 1)
    found = np.empty(len(doc_id), bool)
    found[order] = known[places] == doc_id[order]
    return found
