"""filter_duplicates: near-duplicates within and across sources, and which one of each cluster stays."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trellis.command import Result
from trellis.documents import write_table
from trellis.errors import TrellisError
from trellis.experiment.filter import Duplicates
from trellis.filter.columns import column
from trellis.filter.similar import cluster
from trellis.manifest import WORK
from trellis.spec import Spec

SCHEMA = pa.schema([("doc_id", pa.uint64()), ("source", pa.string()), ("cluster", pa.uint64()), ("kept", pa.bool_())])


@dataclass(frozen=True)
class Documents:
    """All documents by rising doc_id: `source` is a place in `names`, `complexity` is NaN where there is no score."""

    names: list[str]
    doc_id: np.ndarray
    source: np.ndarray
    complexity: np.ndarray


def run(spec: Spec, out: Path) -> Result:
    """Writes duplicates.parquet."""
    rules = Duplicates.model_validate(spec.config["duplicates"])
    features = {path.stem: path for path in spec.input("features").paths("features/")}
    priority = spec.config["source_priority"]
    if unknown := sorted(set(priority) - set(features)):
        raise TrellisError(f"filter.source_priority: no source {unknown[0]!r} (allowed: {', '.join(sorted(features))})")
    documents = _documents(features, {path.stem: path for path in spec.input("scores").paths("scores/")})
    signatures, usable = _signatures(features, documents.doc_id, rules.bands * rules.rows, out / WORK)
    components = cluster(signatures, usable, rules.bands, rules.similarity)
    members, survivors = _survivors(components, documents, priority)
    rows = (
        {
            "doc_id": int(documents.doc_id[member]),
            "source": documents.names[documents.source[member]],
            "cluster": int(documents.doc_id[survivor]),
            "kept": bool(member == survivor),
        }
        for member, survivor in zip(members, survivors, strict=True)
    )
    written = write_table(out / "duplicates.parquet", SCHEMA, rows)
    return Result(_metrics(documents, members, survivors), {"duplicates.parquet": written})


def _documents(features: dict[str, Path], scores: dict[str, Path]) -> Documents:
    names = sorted(features)
    doc_ids = [column(features[name], "doc_id") for name in names]
    complexity = [_complexity(scores[name], len(ids)) for name, ids in zip(names, doc_ids, strict=True)]
    source = np.repeat(np.arange(len(names), dtype=np.uint16), [len(ids) for ids in doc_ids])
    doc_id = np.concatenate(doc_ids)
    order = np.argsort(doc_id, kind="stable")
    return Documents(names, doc_id[order], source[order], np.concatenate(complexity)[order])


def _complexity(path: Path, documents: int) -> np.ndarray:
    known = "complexity" in pq.read_schema(path).names
    return column(path, "complexity") if known else np.full(documents, np.nan, np.float32)


def _signatures(features: dict[str, Path], doc_id: np.ndarray, components: int, work: Path):
    """The signatures on disk in the order of `doc_id`, and which documents have one."""
    work.mkdir(parents=True, exist_ok=True)
    shape = (max(len(doc_id), 1), components)
    table = np.memmap(work / "signatures.u32", dtype=np.uint32, mode="w+", shape=shape)[: len(doc_id)]
    usable = np.zeros(len(doc_id), bool)
    for path in features.values():
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["doc_id", "signature"]):
                signed = batch.column("signature")
                filled = signed.is_valid().to_numpy(zero_copy_only=False)
                places = np.searchsorted(doc_id, batch.column("doc_id").to_numpy()[filled])
                table[places] = signed.flatten().to_numpy().reshape(-1, components)
                usable[places] = True
    return table, usable


def _survivors(components: np.ndarray, documents: Documents, priority: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The members of clusters by rising doc_id, and the survivor of each: first by the place of its source in
    `priority` (sources that are not named come after), then by the highest complexity score, then by the lowest doc_id.
    """
    sizes = np.bincount(components, minlength=1)
    members = np.flatnonzero(sizes[components] > 1)
    places = np.array([priority.index(name) if name in priority else len(priority) for name in documents.names])
    complexity = np.nan_to_num(documents.complexity[members], nan=-np.inf)
    keys = (documents.doc_id[members], -complexity, places[documents.source[members]], components[members])
    order = members[np.lexsort(keys)]
    first = np.concatenate([[True], components[order][1:] != components[order][:-1]]) if len(order) else []
    leaders = order[np.flatnonzero(first)]
    survivor_of = np.zeros(len(sizes), np.int64)
    survivor_of[components[leaders]] = leaders
    return members, survivor_of[components[members]]


def _metrics(documents: Documents, members: np.ndarray, survivors: np.ndarray) -> dict:
    removed = members != survivors
    pairs = Counter(zip(documents.source[members[removed]], documents.source[survivors[removed]], strict=True))
    sizes = Counter(Counter(survivors.tolist()).values())
    gone = np.bincount(documents.source[members[removed]], minlength=len(documents.names))
    totals = np.bincount(documents.source, minlength=len(documents.names))
    return {
        "sources": {
            name: {"documents": int(total), "duplicates": int(duplicates)}
            for name, total, duplicates in zip(documents.names, totals, gone, strict=True)
        },
        "pairs": [
            {"removed": documents.names[one], "kept": documents.names[other], "documents": number}
            for (one, other), number in sorted(pairs.items())
        ],
        "clusters": {str(size): number for size, number in sorted(sizes.items())},
    }
