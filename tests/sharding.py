"""One run of download_shard over files that the test has written, as the plan would order it."""

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from publishing import publish
from trellis.command import execute
from trellis.download import shard as shard_module
from trellis.experiment.section import complete
from trellis.experiment.sources import Rules
from trellis.manifest import Manifest
from trellis.spec import Spec

REPO = "datasets/owner/name"
_runs = itertools.count()


def run_shard(
    folder: Path, files: dict[str, bytes], reader: str, shard: int = 0, shards: int = 1, local: Any = None, **rules: Any
) -> tuple[Manifest, list[dict[str, Any]]]:
    """Publishes `files` as fetched, renders one shard of them; the manifest and the documents, their meta as values."""
    spec, out = order_shard(folder, files, reader, shard, shards, local, **rules)
    manifest = execute(spec, out)
    return manifest, documents_of(manifest.path("documents/000.parquet").read_bytes())


def run_bare(*order: Any, **rules: Any) -> tuple[dict[str, Any], bytes]:
    """As `run_shard`, without the manifest and its commit: the metrics, and the table as bytes."""
    spec, out = order_shard(*order, **rules)
    result = shard_module.run(spec, out)
    return result.metrics, (out / "documents/000.parquet").read_bytes()


def documents_of(table: bytes) -> list[dict[str, Any]]:
    """The documents of a table given as bytes, their meta as values."""
    return [{**row, "meta": json.loads(row["meta"])} for row in pq.read_table(pa.BufferReader(table)).to_pylist()]


def order_shard(
    folder: Path, files: dict[str, bytes], reader: str, shard: int = 0, shards: int = 1, local: Any = None, **rules: Any
) -> tuple[Spec, Path]:
    """The order of such a run, and the folder for its result."""
    run = folder / str(next(_runs))
    for name, content in files.items():
        path = run / "fetched/files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    config = {
        "source": "web",
        "rules": complete(Rules(**{"licence": "MIT", "min_chars": 5, **rules})),
        "reader": reader,
        "shard": shard,
        "shards": shards,
        "local": local,
    }
    inputs = {} if local else {"files": [str(publish(run / "fetched", "download", "hub", metrics={"repo": REPO}))]}
    spec = Spec(
        experiment="test",
        stage="download",
        command="shard",
        name="web",
        fingerprint="0",
        components={},
        config=config,
        inputs=inputs,
        machine={},
    )
    return spec, run / "out"


def parquet(columns: dict[str, Any], row_group: int | None = None, **options: Any) -> bytes:
    """A parquet file of these columns."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, row_group_size=row_group, **options)
    return sink.getvalue().to_pybytes()


def jsonl(rows: list[Any]) -> bytes:
    """JSON lines; bytes are taken as they are."""
    return b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)
