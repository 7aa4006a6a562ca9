"""The clusters of near-duplicates among sources of one signature, and what becomes of each member."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trellis.errors import TrellisError
from trellis.experiment.duplicates import Duplicates, Signature
from trellis.filter.clock import Clock
from trellis.filter.signature_file import SignatureFile
from trellis.filter.signatures import estimate
from trellis.filter.similar import cluster
from trellis.progress import Bar

# What decides between members of equally placed sources, by falling score: the first that its source was scored for.
SCORES = ("complexity", "code_quality")
# A member of a cluster is compared with this many of its contaminated members, those of lowest doc_id.
CONTAMINATED_COMPARED = 64
BLOCK = 2**16


@dataclass(frozen=True)
class Clusters:
    """The members of clusters: arrays [members]. `source` and `survivor_source` are places in the sources' names, `text`
    is a place in `texts`, the ids of evaluation texts, or -1; `near` members are contaminated by likeness alone."""

    doc_id: np.ndarray
    source: np.ndarray
    cluster: np.ndarray
    survivor_source: np.ndarray
    kept: np.ndarray
    text: np.ndarray
    near: np.ndarray
    texts: list[str]

    @classmethod
    def together(cls, groups: list["Clusters"]) -> "Clusters":
        """The members of all groups."""
        arrays = {field.name: [getattr(group, field.name) for group in groups] for field in fields(cls)}
        shift = np.cumsum([0, *(len(texts) for texts in arrays["texts"])])
        arrays["text"] = [np.where(text < 0, -1, text + by) for text, by in zip(arrays["text"], shift, strict=False)]
        texts = [text for group in arrays.pop("texts") for text in group]
        return cls(**{name: np.concatenate(values) for name, values in arrays.items()}, texts=texts)


@dataclass(frozen=True)
class Group:
    """Sources whose documents are compared with each other: their feature and score tables by name. `names` are all
    sources; those in `priority` come before the others, in its order."""

    names: list[str]
    tables: dict[str, tuple[list[Path], list[Path]]]
    priority: list[str]

    def clusters(self, signature: Signature, rules: Duplicates, scratch: Path, clock: Clock, bar: Bar) -> Clusters:
        """`scratch` is a file to be written, `bar` counts bands. Raises TrellisError when a score table lists other
        documents than its feature table."""
        file = SignatureFile(scratch, signature.bands)
        try:
            usable = self._copy_signatures(file)
            clock.phase("signatures")
            # Results must not depend on shards: the order is that of doc_ids from here on.
            order = np.argsort(self._doc_ids()).astype(np.uint32)
            clock.phase("order")
            similarity = rules.similarity if rules.verify else None
            roots = cluster(file, order, usable[order], signature.rows, similarity, bar)
            clock.phase("bands")
            members = np.flatnonzero(_in_clusters(roots))
            roots, places = roots[members], order[members]
            del order
            text, texts = self._contaminated_by(places)
            near = np.zeros(len(members), bool)
            if rules.near_contaminated == "remove":
                near = _near_contaminated(file, places, roots, text, signature.rows, rules.similarity)
        finally:
            file.close()
        clock.phase("contaminated")
        settled = self._settled(places, roots, text, near, texts)
        clock.phase("survivors")
        return settled

    def _settled(self, places, roots, text, near, texts) -> Clusters:
        """Which member survives: one that is not contaminated, first by the place of its source, then by score, then by
        the lowest doc_id. Members come by rising doc_id."""
        doc_id, source = self._doc_ids()[places], self._sources()[places]
        rank = [self.priority.index(name) if name in self.priority else len(self.priority) for name in self.names]
        keys = (-self._scores()[places], np.array(rank)[source], text >= 0, roots)
        order = np.lexsort(keys)
        first = np.ones(len(order), bool)
        first[1:] = roots[order][1:] != roots[order][:-1]
        leader = np.empty(len(order), np.int64)
        leader[order] = order[first][np.cumsum(first) - 1]
        return Clusters(
            doc_id=doc_id,
            source=source,
            cluster=doc_id[leader],
            survivor_source=source[leader],
            kept=(leader == np.arange(len(order))) & (text < 0),
            text=text,
            near=near,
            texts=texts,
        )

    def _copy_signatures(self, file: SignatureFile) -> np.ndarray:
        """Which documents have a signature, in the order in which they are read."""
        usable = []
        for path in self._features():
            with pq.ParquetFile(path, pre_buffer=False) as table:
                for batch in table.iter_batches(columns=["signature"], batch_size=BLOCK):
                    signed = batch.column(0)
                    filled = signed.is_valid().to_numpy(zero_copy_only=False)
                    keys = np.zeros((len(signed), file.bands), np.uint64)
                    keys[filled] = signed.flatten().to_numpy().reshape(-1, file.bands)
                    file.append(keys)
                    usable.append(filled)
        return np.concatenate(usable) if usable else np.empty(0, bool)

    def _contaminated_by(self, places: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Per document at `places` the place of its evaluation text in the ids returned beside, or -1."""
        texts: dict[str, int] = {}
        found = [np.empty((2, 0), np.int64)]
        first = 0
        for path in self._features():
            with pq.ParquetFile(path, pre_buffer=False) as table:
                for batch in table.iter_batches(columns=["contaminated_by"], batch_size=BLOCK):
                    hits = batch.column(0)
                    at = np.flatnonzero(hits.is_valid().to_numpy(zero_copy_only=False))
                    named = [texts.setdefault(name, len(texts)) for name in hits.take(pa.array(at)).to_pylist()]
                    found.append(np.array([at + first, named], np.int64))
                    first += len(hits)
        at, named = np.concatenate(found, axis=1)
        text = np.full(len(places), -1, np.int32)
        if len(at):
            slot = np.minimum(np.searchsorted(at, places), len(at) - 1)
            hit = at[slot] == places
            text[hit] = named[slot[hit]]
        return text, list(texts)

    def _features(self) -> list[Path]:
        return [path for paths, _ in self.tables.values() for path in paths]

    def _doc_ids(self) -> np.ndarray:
        """uint64, in the order in which documents are read."""
        return _column(self._features(), "doc_id", np.uint64)

    def _sources(self) -> np.ndarray:
        """The place of each document's source in `names`, uint16."""
        places = [np.full(_rows(paths), self.names.index(name), np.uint16) for name, (paths, _) in self.tables.items()]
        return np.concatenate(places)

    def _scores(self) -> np.ndarray:
        """float32, -inf where there is none."""
        scores = np.full(_rows(self._features()), -np.inf, np.float32)
        first = 0
        for paths, scored in self.tables.values():
            last = first + _rows(paths)
            if scored:
                if not np.array_equal(_column(scored, "doc_id", np.uint64), _column(paths, "doc_id", np.uint64)):
                    raise TrellisError(
                        f"{paths[0]} and {scored[0]} list different documents; run `python -m trellis verify`"
                    )
                known = [name for name in SCORES if name in pq.read_schema(scored[0]).names]
                if known:
                    values = _column(scored, known[0], np.float32)
                    scores[first:last] = np.where(np.isnan(values), -np.inf, values)
            first = last
        return scores


def _in_clusters(roots: np.ndarray) -> np.ndarray:
    """bool [documents]: whether any other document has the same root."""
    inside = np.zeros(len(roots), bool)
    for first in range(0, len(roots), BLOCK):
        block = roots[first : first + BLOCK]
        joined = block != np.arange(first, first + len(block), dtype=np.uint32)
        inside[first : first + BLOCK] |= joined
        inside[block[joined]] = True
    return inside


def _near_contaminated(file, places, roots, text, rows, similarity) -> np.ndarray:
    """bool [members]: clean members that are as similar as duplicates are to a contaminated one of their cluster. Fills in
    `text` for them."""
    near = np.zeros(len(places), bool)
    bad = np.flatnonzero(text >= 0)
    if not len(bad):
        return near
    order = np.argsort(roots, kind="stable")
    ordered = roots[order]
    for root in np.unique(roots[bad]):
        inside = order[np.searchsorted(ordered, root) : np.searchsorted(ordered, root, side="right")]
        sources = inside[text[inside] >= 0][:CONTAMINATED_COMPARED]
        clean = inside[text[inside] < 0]
        signed = file.rows(places[sources])
        for first in range(0, len(clean), BLOCK):
            block = clean[first : first + BLOCK]
            signatures = file.rows(places[block])
            for source, one in zip(sources, signed, strict=True):
                alike = (text[block] < 0) & (estimate(signatures, one[None], rows) >= similarity)
                text[block[alike]] = text[source]
                near[block[alike]] = True
    return near


def _rows(paths: list[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in paths)


def _column(paths: list[Path], name: str, dtype) -> np.ndarray:
    """A column of numbers of many tables, in their order; null is NaN where there is one."""
    values, first = np.empty(_rows(paths), dtype), 0
    for path in paths:
        read = pq.read_table(path, columns=[name], pre_buffer=False)[name].to_numpy()
        values[first : first + len(read)] = read
        first += len(read)
    return values
