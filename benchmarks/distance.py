"""Schema distance at the study's scale: the nearest of 60,000 schemas for each of 10,000, beside comparing Python sets.

    python benchmarks/distance.py [--evaluation 10000] [--training 60000]

Both sides draw 1 to 8 properties, partly nested, of a Zipf-like vocabulary of 3,000 names. The peer compares the same
elements as Python sets, pair by pair, over `--sample` of the evaluation schemas; its time is scaled up. Both must find the
same similarities.
"""

import argparse
import datetime
import os
import platform
import random
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "2"
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))

import numpy as np  # noqa: E402

from trellis.schema_distance import SchemaSet, elements  # noqa: E402

NAMES = [f"name{number}" for number in range(3000)]
WEIGHTS = [1 / (rank + 1) for rank in range(len(NAMES))]
TYPES = ("string", "integer", "number", "boolean")


def make_schema(rng: random.Random, depth: int = 0) -> dict:
    """An object of 1 to 8 properties, one in ten of them an object itself."""
    chosen = rng.choices(NAMES, WEIGHTS, k=rng.randint(1, 8))
    nested = {name for name in chosen if depth < 2 and rng.random() < 0.1}
    return {
        "type": "object",
        "properties": {n: make_schema(rng, depth + 1) if n in nested else {"type": rng.choice(TYPES)} for n in chosen},
    }


def pair_by_pair(known: list[frozenset], others: list[frozenset]) -> list[float]:
    """The plain way: every pair's intersection and union."""
    return [max(len(one & each) / len(one | each) for each in known) for one in others]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluation", type=int, default=10_000)
    parser.add_argument("--training", type=int, default=60_000)
    parser.add_argument("--sample", type=int, default=50)
    args = parser.parse_args()
    rng = random.Random(0)
    schemas = [make_schema(rng) for _ in range(args.training + args.evaluation)]
    start = time.perf_counter()
    found = [elements(schema) for schema in schemas]
    reading = time.perf_counter() - start
    known, others = found[: args.training], found[args.training :]
    start = time.perf_counter()
    collection = SchemaSet(known)
    similarity, _ = collection.nearest(others)
    nearest = time.perf_counter() - start
    start = time.perf_counter()
    reached = collection.connected(others, 0.5)
    connected = time.perf_counter() - start
    start = time.perf_counter()
    plain = pair_by_pair(known, others[: args.sample])
    peer = (time.perf_counter() - start) * len(others) / args.sample
    assert np.allclose(plain, similarity[: args.sample], atol=1e-6)
    print(f"# schema distance, {datetime.date.today()}\n")
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, ", end="")
    print(f"numpy {np.__version__}, scipy {version('scipy')}\n")
    print(f"{args.evaluation:,} evaluation schemas against {args.training:,} of fine-tuning.\n")
    print("| step | seconds | ratio to Python sets |\n|---|---|---|")
    print(f"| elements of all schemas | {reading:.1f} | |")
    print(f"| nearest | {nearest:.1f} | {peer / nearest:,.0f} times as fast |")
    print(f"| connected components at 0.5 ({reached.mean():.0%} reached) | {connected:.1f} | |")
    print(f"| Python sets, pair by pair (from {args.sample}) | {peer:,.0f} | 1 |")


if __name__ == "__main__":
    main()
