"""Memory and seconds of filter_duplicates on synthetic side tables, and what follows for 200 million documents.

    python benchmarks/duplicates.py [--rows 2_000_000] [--scratch FOLDER]

The tables are written as filter_features would: one table for each million documents, in ten sources. A third of the
documents are near-copies of others in clusters of 2 to some 20, at Jaccard similarities of 0.5 to 1, a hundredth is one
text, and a thousandth is contaminated. The command runs as Snakemake runs it, on a fifth of the tables and on all of them:
memory at 200 million is the line through both peaks, seconds grow by n log(n). The scratch folder takes some 250 bytes a
document.
"""

import argparse
import datetime
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from trellis.filter.feature_table import write_features  # noqa: E402
from trellis.manifest import Manifest, list_files  # noqa: E402

BANDS, SHARD, SOURCES = 14, 1_000_000, 10
TARGET = 200_000_000
PHASES = ("signatures", "order", "bands", "contaminated", "survivors", "table")


def main() -> None:
    """Prints one Markdown report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--scratch", type=Path, help="where the tables go (default: the system's)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = Path(scratch)
        inputs = {"features": [], "scores": []}
        sizes = [min(SHARD, args.rows - first) for first in range(0, args.rows, SHARD)]
        # In another process: a command that is started counts its parent's memory as its own.
        with ProcessPoolExecutor(1) as writer:
            folders = [folder / f"{shard:03}" for shard in range(len(sizes))]
            for made in writer.map(write_shard, folders, range(len(sizes)), sizes):
                for role, path in made.items():
                    inputs[role].append(path)
        few = max(len(sizes) // 5, 1)
        fifth, _ = run_command(folder / "fifth", {role: paths[:few] for role, paths in inputs.items()})
        run, metrics = run_command(folder / "all", inputs)
    print_report((sum(sizes[:few]), fifth), (args.rows, run), metrics)


def write_shard(folder: Path, shard: int, size: int) -> dict[str, str]:
    """One shard's feature and score tables, as results; returns their folders."""
    rng = np.random.default_rng(shard)
    source = f"source{shard % SOURCES}"
    doc_id = rng.integers(0, 2**64, size, dtype=np.uint64)
    hits = rng.random(size) < 0.001
    part = {
        "doc_id": doc_id,
        "n_tokens": np.full(size, 700, np.uint32),
        "n_tokens_reference": np.zeros(size, np.uint32),
        "signature": signatures(rng, size),
        "signed": np.ones(size, bool),
        "slice": pa.nulls(size, pa.string()),
        "contaminated_by": pa.DictionaryArray.from_arrays(
            pa.array(np.where(hits, 0, -1), mask=~hits), pa.array(["q"])
        ).cast(pa.string()),
    }
    write_features(folder / f"features/features/{source}.parquet", BANDS, [part])
    scores = pa.table({"doc_id": doc_id, "complexity": rng.random(size, np.float32)})
    (folder / "scores/scores").mkdir(parents=True)
    pq.write_table(scores, folder / f"scores/scores/{source}.parquet")
    for role in ("features", "scores"):
        publish(folder / role)
    return {role: str(folder / role) for role in ("features", "scores")}


def signatures(rng: np.random.Generator, size: int) -> np.ndarray:
    """uint64 [size, BANDS] with near-copies in it."""
    keys = rng.integers(0, 2**64, (size, BANDS), dtype=np.uint64)
    copies = np.flatnonzero(rng.random(size) < 1 / 3)
    # A copy's original is the next document but a few that is none: clusters of a geometric size.
    originals = np.setdiff1d(np.arange(size), copies)
    of = originals[np.minimum(np.searchsorted(originals, copies + rng.geometric(0.3, len(copies))), len(originals) - 1)]
    agree = rng.random((len(copies), BANDS, 8), np.float32) < rng.uniform(0.5, 1, (len(copies), 1, 1))
    components = keys[copies].view(np.uint8).reshape(agree.shape)
    theirs = keys[of].view(np.uint8).reshape(agree.shape)
    keys[copies] = np.where(agree, theirs, components).reshape(len(copies), -1).view(np.uint64)
    keys[rng.random(size) < 0.01] = np.arange(BANDS, dtype=np.uint64)
    return keys


def publish(folder: Path) -> None:
    Manifest(
        **{"stage": "benchmark", "command": "", "name": "", "fingerprint": "", "components": {}, "metrics": {}},
        files=list_files(folder, {}),
        run={},
        folder=folder,
    ).write()


def run_command(folder: Path, inputs: dict[str, list[str]]) -> tuple[dict, dict]:
    """What the command's manifest says of its run, with its wall time, and its metrics."""
    spec = {
        **{"experiment": "benchmark", "stage": "filter", "command": "duplicates", "name": "duplicates"},
        **{"fingerprint": "", "components": {}, "machine": {}, "inputs": inputs},
        "config": {"duplicates": {}, "source_priority": ["source0"]},
    }
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps(spec))
    command = [
        sys.executable,
        "-m",
        "trellis.filter",
        "--spec",
        str(folder / "spec.json"),
        "--out",
        str(folder / "out"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    begin = time.monotonic()
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    if answer.returncode:
        sys.exit(answer.stderr)
    made = Manifest.read(folder / "out")
    return {**made.run, "wall": time.monotonic() - begin}, made.metrics


def print_report(fifth: tuple[int, dict], whole: tuple[int, dict], metrics: dict) -> None:
    """Both runs as (documents, run) and what follows from them."""
    (few, small), (rows, run) = fifth, whole
    slower = TARGET * math.log2(TARGET) / (rows * math.log2(rows))
    removed = sum(source["duplicates"] + source["near_contaminated"] for source in metrics["sources"].values())
    print(f"# filter_duplicates on {rows:,} synthetic documents, {datetime.date.today()}\n")
    print(f"{run['hardware']}, one thread, Python {run['python']}, numpy {run['versions']['numpy']}\n")
    print(f"{removed:,} documents removed in {sum(metrics['clusters'].values()):,} clusters, {BANDS} bands.\n")
    print(f"| phase | seconds | peak MiB so far, {few:,} | {rows:,} | seconds at 200M | peak GB at 200M |")
    print("|---|---|---|---|---|---|")
    for name in PHASES:
        seconds, low, high = run["phases"][name]["seconds"], *(r["phases"][name]["peak_mib"] for r in (small, run))
        at_target = (high + (high - low) / max(rows - few, 1) * (TARGET - rows)) * 2**20 / 1e9
        print(f"| {name} | {seconds:.1f} | {low:,.0f} | {high:,.0f} | {seconds * slower:,.0f} | {at_target:.1f} |")
    total = sum(run["phases"][name]["seconds"] for name in PHASES)
    print(
        f"\nWall time {run['wall']:.1f} s, with start-up; {total:.1f} s in the phases, {total * slower / 60:.0f} minutes"
    )
    print(f"at 200M. Work file: {8 * BANDS} bytes a document, {8 * BANDS * TARGET / 1e9:.1f} GB at 200M.")


if __name__ == "__main__":
    main()
