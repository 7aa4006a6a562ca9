"""Seconds and peak memory of selecting from 20 million documents by the study's rule, extrapolated to 200 million.

    python benchmarks/selection.py [--documents 20_000_000] [--scratch DIR]

Synthetic side tables (17 topics, complexity, tokens; three in ten documents are near-duplicates) go through
filter_select as the workflow would run it, a quarter of them and all of them: memory per document is the slope between the
two. What grows with documents (ids of duplicates, ids and ranks of what is chosen) outweighs the fixed part only in larger
runs, so the last of our rows takes all and four times as many documents, at random and without scores. The peer is the
original's way, in its most frugal form: all scores of all documents in memory, then a sort; it runs on an eighth and a
quarter. Needs about 160 bytes of scratch per document.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "tests")]

from publishing import publish  # noqa: E402
from trellis.documents import ROW_GROUP  # noqa: E402
from trellis.experiment.section import complete  # noqa: E402
from trellis.experiment.selection import Topic  # noqa: E402
from trellis.experiment.whole import load_experiment  # noqa: E402
from trellis.filter.duplicates import SCHEMA as DUPLICATES  # noqa: E402
from trellis.manifest import Manifest  # noqa: E402
from trellis.spec import Spec  # noqa: E402

LABELS = list(Topic.__args__)
SHARD = 500_000
TARGET = 200_000_000
THRESHOLD = 0.3


def main() -> None:
    """Prints one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=20_000_000)
    parser.add_argument("--scratch", type=Path, help="where the tables go; without it, the system's temporary folder")
    parser.add_argument("--peer", type=Path, nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        in_memory(args.peer)
        return
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = Path(scratch)
        shards = max(args.documents // SHARD, 8)
        tokens = [make_shard(folder, shard, scored=shard < shards) for shard in range(4 * shards)]
        rows = []
        for rule in ("curated", "random"):
            found = [select(folder, rule, number, sum(tokens[:number])) for number in (shards // 4, shards)]
            rows.append((f"filter_select, rule {rule}", found))
        found = [
            select(folder, "random", number, sum(tokens[:number]), scored=False) for number in (shards, 4 * shards)
        ]
        rows.append(("filter_select, rule random, no scores", found))
        rows.append(("all scores in memory, sorted", [peer(folder, number) for number in (shards // 8, shards // 4)]))
        print_table(rows)


def make_shard(folder: Path, shard: int, scored: bool) -> int:
    """The side tables of some documents; returns their tokens."""
    rng = np.random.default_rng(shard)
    doc_id = rng.integers(0, 2**64, SHARD, np.uint64)
    tokens = np.clip(rng.lognormal(6.5, 0.9, SHARD), 20, 100_000).astype(np.uint32)
    contaminated = pa.array(np.where(rng.random(SHARD) < 1e-4, "q1", None), pa.string())
    tables = {"features": {"doc_id": doc_id, "n_tokens": tokens, "contaminated_by": contaminated}}
    if scored:
        topics = pa.array((rng.random((SHARD, len(LABELS)), np.float32) ** 6).reshape(-1))
        offsets = pa.array(np.arange(SHARD + 1, dtype=np.int32) * len(LABELS))
        tables["scores"] = {
            "doc_id": doc_id,
            "topics": pa.ListArray.from_arrays(offsets, topics),
            "complexity": rng.normal(2.4, 0.7, SHARD).astype(np.float32),
        }
    for kind, columns in tables.items():
        place = folder / f"{kind}-{shard:04}"
        (place / kind).mkdir(parents=True)
        pq.write_table(pa.table(columns), place / kind / "web.parquet", row_group_size=ROW_GROUP, compression="zstd")
        metrics = {"labels": {"topics": LABELS}, "thresholds": {"topics": [THRESHOLD] * len(LABELS)}}
        publish(place, "test", kind, place.name, metrics)
    return int(tokens.sum())


def make_duplicates(folder: Path, shards: int) -> None:
    """Of the first `shards`, three in ten documents leave."""
    shutil.rmtree(folder / "duplicates", ignore_errors=True)
    (folder / "duplicates").mkdir()
    with pq.ParquetWriter(folder / "duplicates/duplicates.parquet", DUPLICATES, compression="zstd") as writer:
        for shard in range(shards):
            doc_id = np.random.default_rng(shard).integers(0, 2**64, SHARD, np.uint64)[: 3 * SHARD // 10]
            columns = {
                "doc_id": doc_id,
                "source": ["web"] * len(doc_id),
                "cluster": doc_id,
                "kept": np.zeros(len(doc_id), bool),
                "contaminated_by": pa.nulls(len(doc_id), pa.string()),
            }
            writer.write_table(pa.table(columns, schema=DUPLICATES))
    publish(folder / "duplicates", "filter", "duplicates")


def select(folder: Path, rule: str, shards: int, tokens: int, scored: bool = True) -> tuple[int, float, float]:
    """(documents, seconds, peak MiB) of a run that takes a quarter of the tokens."""
    study = load_experiment(ROOT / "config/experiments/trellis-506m.yaml")
    asked = tokens // 4
    make_duplicates(folder, shards)
    config = {
        "mixture": {"tokens": asked, "sources": {"web": {"tokens": asked, "select": rule}}},
        "selection": complete({"curated": study.filter.selection["curated"]}),
        "relevance_topics": study.filter.relevance_topics,
        "validation_share": study.filter.validation_share,
        "context": study.pretraining.context,
        "seed": study.seed,
    }
    kinds = ("features", "scores") if scored else ("features",)
    inputs = {kind: [str(folder / f"{kind}-{shard:04}") for shard in range(shards)] for kind in kinds}
    out = folder / f"select-{rule}-{shards}"
    spec = Spec(
        experiment="benchmark",
        stage="filter",
        command="select",
        name="select-benchmark",
        fingerprint="0" * 64,
        components={},
        config=config,
        inputs={**inputs, "duplicates": [str(folder / "duplicates")]},
        machine={"device": "cpu", "gpu_model": "any"},
    )
    out.mkdir()
    (out / "spec.json").write_text(spec.model_dump_json())
    run("-m", "trellis.filter", "--spec", str(out / "spec.json"), "--out", str(out), "--log", str(out / "log.txt"))
    made = Manifest.read(out)
    entry = made.metrics["sources"]["web"]
    over = entry["selected_tokens"] / entry["asked_tokens"] - 1
    print(f"{rule}, {shards * SHARD:,} documents: {over:+.6%} of the budget", file=sys.stderr)
    shutil.rmtree(out)
    return shards * SHARD, made.run["seconds"], made.run["peak_mib"]


def peer(folder: Path, shards: int) -> tuple[int, float, float]:
    """(documents, seconds, peak MiB) of the original's way."""
    answer = run(__file__, "--peer", *(str(folder / f"features-{shard:04}") for shard in range(shards)))
    return shards * SHARD, *json.loads(answer)


def in_memory(folders: list[Path]) -> None:
    """Scores of all documents in arrays, relevance, a sort, and a walk down the sorted documents group by group and bin by
    bin. Prints seconds and peak MiB."""
    begin = time.monotonic()
    features = pa.concat_tables([pq.read_table(folder / "features/web.parquet") for folder in folders])
    scores = [Path(str(folder).replace("features-", "scores-")) / "scores/web.parquet" for folder in folders]
    scored = pa.concat_tables([pq.read_table(path) for path in scores])
    topics = scored["topics"].combine_chunks().flatten().to_numpy().reshape(-1, len(LABELS))
    complexity, tokens = scored["complexity"].to_numpy(), features["n_tokens"].to_numpy().astype(np.int64)
    active = topics >= THRESHOLD
    relevance = topics[:, :3].max(axis=1) + np.minimum(0.05 * active.sum(axis=1), 0.15) + 0.1 * complexity
    order = np.argsort(-relevance, kind="stable")
    chosen = np.zeros(len(order), bool)
    bins = np.searchsorted([1.75, 2.5, 3.25], complexity)
    budget = tokens.sum() // 4
    for label, share in zip((0, 1, 2, 3, 4, 6, 15, 5, 7, 8), (7, 8, 5, 4, 3, 5, 2, 4, 4, 3), strict=True):
        need = share / 100 * budget - tokens[chosen & active[:, label]].sum()
        for level, part in enumerate((0.1, 0.2, 0.4, 0.3)):
            members = order[(active[:, label] & (bins == level) & ~chosen)[order]]
            chosen[members[: np.searchsorted(np.cumsum(tokens[members]), need * part)]] = True
    print(json.dumps([time.monotonic() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def run(*command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts"), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)
    if answer.returncode:
        sys.exit(answer.stdout + answer.stderr)
    return answer.stdout


def print_table(rows: list[tuple[str, list[tuple[int, float, float]]]]) -> None:
    """The report, with what it was measured on."""
    print(f"# Selection, {datetime.date.today()}\n")
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pyarrow"))
    print(f"{_processor()}, one process, Python {platform.python_version()}, {versions}\n")
    print("| | documents | seconds | peak MiB | bytes per document more | at 200 million: GiB | hours |")
    print("|---|---|---|---|---|---|---|")
    at_target = {}
    for name, ((fewer, _, small), (documents, seconds, peak)) in rows:
        slope = (peak - small) / (documents - fewer)
        whole = peak + slope * (TARGET - documents)
        at_target[name] = whole
        print(
            f"| {name} | {documents:,} | {seconds:.1f} | {peak:,.0f} | {slope * 2**20:.1f} | {whole / 1024:.1f} | "
            f"{seconds / documents * TARGET / 3600:.2f} |"
        )
    *ours, theirs = at_target.values()
    print(f"\nMemory against all scores in memory: {theirs / max(ours):.1f} times less at 200 million documents.")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
