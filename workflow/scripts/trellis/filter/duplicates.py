"""filter_duplicates: near-duplicates within and across sources, and which one of each cluster stays."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trellis.command import Result
from trellis.documents import side_tables
from trellis.errors import TrellisError
from trellis.experiment.duplicates import Duplicates, Signature
from trellis.filter.clock import Clock
from trellis.filter.clusters import Clusters, Group
from trellis.manifest import WORK
from trellis.progress import bar
from trellis.spec import Spec

SCHEMA = pa.schema(
    [
        ("doc_id", pa.uint64()),
        ("source", pa.string()),
        ("cluster", pa.uint64()),
        ("kept", pa.bool_()),
        ("contaminated_by", pa.string()),
    ]
)
ROWS = 100_000


def run(spec: Spec, out: Path) -> Result:
    """Writes duplicates.parquet."""
    rules = Duplicates.model_validate(spec.config["duplicates"])
    features = dict(sorted(side_tables(spec.inputs_of("features"), "features").items()))
    scores = side_tables(spec.inputs_of("scores"), "scores")
    names, priority = list(features), spec.config["source_priority"]
    if unknown := sorted(set(priority) - set(names)):
        raise TrellisError(f"filter.source_priority: no source {unknown[0]!r} (allowed: {', '.join(names)})")
    groups: dict[Signature, list[str]] = defaultdict(list)
    for name in names:
        groups[rules.signature_of(name)].append(name)
    found, clock = [], Clock()
    with bar("duplicates", sum(signature.bands for signature in groups), "band") as progress:
        for signature, members in groups.items():
            group = Group(names, {name: (features[name], scores.get(name, [])) for name in members}, priority)
            found.append(group.clusters(signature, rules, out / WORK / "signatures", clock, progress))
    clusters = Clusters.together(found)
    rows = _write(out / "duplicates.parquet", clusters, names)
    totals = {name: sum(pq.read_metadata(path).num_rows for path in paths) for name, paths in features.items()}
    metrics = _metrics(clusters, totals)
    clock.phase("table")
    return Result(metrics, {"duplicates.parquet": rows}, {"phases": clock.phases})


def _write(path: Path, clusters: Clusters, names: list[str]) -> int:
    """The members of clusters by rising doc_id."""
    order = np.argsort(clusters.doc_id)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for table in _tables(clusters, order, names):
            writer.write_table(table)
    return len(order)


def _tables(clusters: Clusters, order: np.ndarray, names: list[str]) -> Iterator[pa.Table]:
    sources, texts = pa.array(names, pa.string()), pa.array([*clusters.texts, None], pa.string())
    for first in range(0, max(len(order), 1), ROWS):
        part = order[first : first + ROWS]
        columns = [
            pa.array(clusters.doc_id[part]),
            sources.take(pa.array(clusters.source[part])),
            pa.array(clusters.cluster[part]),
            pa.array(clusters.kept[part]),
            texts.take(pa.array(clusters.text[part] % len(texts))),
        ]
        yield pa.table(columns, schema=SCHEMA)


def _metrics(clusters: Clusters, totals: dict[str, int]) -> dict:
    names = list(totals)
    removed = ~clusters.kept & (clusters.text < 0)
    gone = np.bincount(clusters.source[removed], minlength=len(names))
    near = np.bincount(clusters.source[clusters.near], minlength=len(names))
    pair = clusters.source[removed].astype(np.int64) * len(names) + clusters.survivor_source[removed]
    pairs = zip(*(values.tolist() for values in np.unique(pair, return_counts=True)), strict=True)
    _, sizes = np.unique(clusters.cluster, return_counts=True)
    return {
        "sources": {
            name: {"documents": total, "duplicates": int(duplicates), "near_contaminated": int(leaving)}
            for (name, total), duplicates, leaving in zip(totals.items(), gone, near, strict=True)
        },
        "pairs": [
            {"removed": names[pair // len(names)], "kept": names[pair % len(names)], "documents": number}
            for pair, number in pairs
        ],
        "clusters": {str(size): number for size, number in sorted(Counter(sizes.tolist()).items())},
    }
