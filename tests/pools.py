"""Pools of documents to select from: side tables with planted scores, cut into shards as one likes."""

import random
from pathlib import Path

import pyarrow as pa

from publishing import publish
from trellis.documents import write_table
from trellis.filter.duplicates import SCHEMA as DUPLICATES

MATHS, LAW = "mathematics_statistics", "law_government"
LABELS = [MATHS, "machine_learning_ai", LAW]
FEATURES = pa.schema(
    [("doc_id", pa.uint64()), ("n_tokens", pa.uint32()), ("contaminated_by", pa.string()), ("slice", pa.string())]
)
SCORES = pa.schema(
    [
        ("doc_id", pa.uint64()),
        ("topics", pa.list_(pa.float32())),
        ("complexity", pa.float32()),
        ("code_quality", pa.float32()),
        ("structured_data", pa.float32()),
    ]
)


def pool(seed: int, count: int, **columns) -> list[dict]:
    """Documents of 5 to 60 tokens with random scores, one in twenty contaminated, by doc_id; `columns` replace."""
    rng = random.Random(seed)
    rows = [
        {
            "doc_id": rng.getrandbits(64),
            "n_tokens": rng.randint(5, 60),
            "topics": [rng.random() for _ in LABELS],
            "complexity": rng.uniform(1, 5),
            "contaminated_by": "q1" if number % 20 == 0 else None,
        }
        | columns
        for number in range(count)
    ]
    return sorted(rows, key=lambda row: row["doc_id"])


class Tables:
    """Results of features, scores and duplicates below `root`; a source's rows come in `shards` results of their own."""

    def __init__(self, root: Path, sources: dict[str, list[dict]], shards: int = 1, drop: tuple[str, ...] = ()) -> None:
        self.root, self.features, self.scores = root, [], []
        for name, rows in sources.items():
            size = -(-len(rows) // shards) or 1
            for shard in range(shards):
                part = rows[shard * size : (shard + 1) * size]
                self._write(FEATURES, f"features-{name}-{shard}", "features", name, part, self.features, drop)
                metrics = {"labels": {"topics": LABELS}, "thresholds": {"topics": [0.5, 0.6, 0.4]}}
                self._write(SCORES, f"scores-{name}-{shard}", "scores", name, part, self.scores, drop, metrics)

    def _write(self, schema, folder, kind, source, rows, made, drop, metrics=None) -> None:
        kept = pa.schema([field for field in schema if field.name not in drop])
        rows = [{key: {"n_tokens": 10, **row}.get(key) for key in kept.names} for row in rows]
        write_table(self.root / folder / kind / f"{source}.parquet", kept, rows)
        made.append(publish(self.root / folder, "filter", kind, folder, metrics))

    def duplicates(self, gone: dict[str, list[int]], contaminated: bool = False) -> Path:
        """Documents that leave as the copy of document 1, or because document 1 is contaminated."""
        rows = [
            {"doc_id": doc_id, "source": source, "cluster": 1, "kept": False}
            | {"contaminated_by": "q7" if contaminated else None}
            for source, ids in gone.items()
            for doc_id in ids
        ]
        write_table(self.root / "duplicates/duplicates.parquet", DUPLICATES, rows)
        return publish(self.root / "duplicates", "filter", "duplicates")
