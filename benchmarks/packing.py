"""Best-fit packing of 20 million documents: seconds, memory and cuts against concatenation; and copying them into rows.

    python benchmarks/packing.py [--documents 20_000_000] [--gigabytes 4] [--scratch DIR]

Lengths are log-normal with a mean of 1,000 tokens and three spreads; rows hold 2,048. A document is cut needlessly when
it lies in more rows than one of its length must. The memory is what the process takes on top of the lengths.

The second part packs token shards of so many gigabytes by `python -m trellis.tokenize`, as the workflow would: every shard
verified, every document looked up and copied to its place. Beside it, in turns, the same shards copied by numpy from beginning
to end (`tofile` of a memory map), and their sha256. Processor seconds are compared: they do not know how busy the disk is.
The last line is about documents so short that they, and not their tokens, are what takes memory.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from packed_streams import SELECTED, TOKENS, byte_tokenizer  # noqa: E402
from publishing import publish  # noqa: E402
from trellis.manifest import Manifest, file_sha256  # noqa: E402
from trellis.spec import Spec  # noqa: E402
from trellis.tokenize.best_fit import best_fit, needless_cuts  # noqa: E402

CONTEXT, MEAN, TARGET = 2048, 1000, 200_000_000
SPREADS = (0.8, 1.0, 1.2)
REPEATS = 3
LONG, SHORT_MEAN = 250_000, 20  # documents in a shard; tokens of a short one
END = 256


def main() -> None:
    """Prints one Markdown report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=20_000_000)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--scratch", type=Path, help="where the tokens go; without it, the system's temporary folder")
    parser.add_argument("--order", type=float, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.order:
        print(json.dumps(order(int(args.order[0]), args.order[1])))
        return
    print(f"# Packing, {datetime.date.today()}\n")
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pyarrow"))
    print(f"{_processor()}, one core, Python {platform.python_version()}, {versions}\n")
    print_orders(args.documents)
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        print_copying(Path(scratch) / "long", args.gigabytes)
        print_memory(Path(scratch) / "short", args.documents)


def print_orders(documents: int) -> None:
    print(
        f"| spread of lengths | documents | cut, concatenated | cut, best fit | ratio | processor seconds | MiB more | "
        f"bytes per document | at {TARGET // 10**6} million: seconds, GiB |\n|---|---|---|---|---|---|---|---|---|"
    )
    for spread in SPREADS:
        answer = subprocess.run(
            [sys.executable, __file__, "--order", str(documents), str(spread)],
            capture_output=True,
            text=True,
            check=True,
        )
        in_order, packed, seconds, mib = json.loads(answer.stdout)
        size = mib * 2**20 / documents
        print(
            f"| {spread} | {documents:,} | {in_order:,} | {packed:,} | {packed / in_order:.4f} | {seconds:.1f} | {mib:,.0f} | "
            f"{size:.1f} | {seconds * TARGET / documents:.0f}, {size * TARGET / 2**30:.1f} |"
        )


def order(documents: int, spread: float) -> tuple[int, int, float, float]:
    """(documents cut needlessly when concatenated, and when packed; processor seconds; MiB at most on top of the lengths)."""
    lengths = lengths_of(documents, spread)
    best_fit(lengths[:1000], CONTEXT)
    before, begin = _memory("VmRSS"), time.process_time()
    places = best_fit(lengths, CONTEXT)
    seconds, peak = time.process_time() - begin, _memory("VmHWM")
    assert np.array_equal(np.sort(places), np.arange(documents))
    return needless_cuts(lengths, CONTEXT), needless_cuts(lengths[places], CONTEXT), seconds, peak - before


def lengths_of(documents: int, spread: float, mean: int = MEAN, seed: int = 0) -> np.ndarray:
    """Tokens of documents with their ends, uint32; made some at a time, to leave no memory behind."""
    rng, lengths = np.random.default_rng(seed), np.empty(documents, np.uint32)
    for start in range(0, documents, 1 << 16):
        part = lengths[start : start + (1 << 16)]
        part[:] = np.clip(rng.lognormal(np.log(mean) - spread**2 / 2, spread, len(part)), 1, 100_000) + 1
    return lengths


def print_copying(folder: Path, gigabytes: float) -> None:
    """The pack command as a whole beside a plain copy of the bytes that it writes."""
    shards = max(round(gigabytes * 10**9 / 2 / MEAN / LONG), 1)
    tokens = make(folder, shards, LONG, MEAN)
    binaries = [folder / f"encode-{shard:03}/tokens/web.bin" for shard in range(shards)]
    hashing, plain, packing = [], [], []
    for _ in range(REPEATS):
        hashing.append(clocked(lambda: [file_sha256(path) for path in binaries]))
        plain.append(clocked(lambda: copy_plainly(binaries, folder / "plain.bin")))
        peak, entry, took = pack(folder, shards, tokens)
        packing.append(took)
    hashed, copied, whole = (np.min(each, axis=0) for each in (hashing, plain, packing))
    size = 2 * entry["granted_tokens"] / 10**9
    print(f"\n{size:.1f} GB in {shards} shards, {entry['documents']:,} documents; best of {REPEATS}.\n")
    print("| | seconds | processor seconds | of these, times the plain copy |\n|---|---|---|---|")
    for label, (seconds, processor) in (
        ("plain copy, shard after shard", copied),
        ("sha256 of the shards", hashed),
        ("tokenize_pack, with start-up, verifying the shards and hashing the rows", whole),
        ("the same without the two hashes", whole - 2 * hashed),
    ):
        print(f"| {label} | {seconds:.1f} | {processor:.1f} | {processor / copied[1]:.2f} |")
    print(f"\nPeak memory of tokenize_pack: {peak:,.0f} MiB.")


def print_memory(folder: Path, documents: int) -> None:
    """The memory of the pack command by documents: short ones, a quarter of them and all."""
    found = []
    for shards in (1, 4):
        tokens = make(folder / str(shards), shards, documents // 4, SHORT_MEAN)
        peak, entry, (seconds, processor) = pack(folder / str(shards), shards, tokens)
        found.append((entry["documents"], peak))
    (fewer, small), (count, large) = found
    slope = (large - small) / (count - fewer)
    print(
        f"\n{count:,} documents of {SHORT_MEAN} tokens on average: {seconds:.0f} seconds, {processor:.0f} of the processor, "
        f"{large:,.0f} MiB; {fewer:,}: {small:,.0f} MiB. That is {slope * 2**20:.1f} bytes per document more, and "
        f"{(large + slope * (TARGET - count)) / 1024:.1f} GiB at {TARGET // 10**6} million."
    )


def make(folder: Path, shards: int, documents: int, mean: int) -> int:
    """Token shards of so many documents each, and a selection of them all; returns the number of tokens."""
    tokenizer = byte_tokenizer(folder / "tokenizer")
    made = [make_shard(folder, shard, documents, mean, tokenizer) for shard in range(shards)]
    tokens = sum(count for _, count in made)
    select(folder / "selected", np.concatenate([ids for ids, _ in made]), tokens)
    return tokens


def clocked(work: Callable[[], object]) -> np.ndarray:
    """(seconds, processor seconds of this process and of those that it waited for)."""
    begin = time.monotonic(), sum(os.times()[:4])
    work()
    return np.array([time.monotonic(), sum(os.times()[:4])]) - begin


def copy_plainly(files: list[Path], target: Path) -> None:
    with target.open("wb") as file:
        for path in files:
            np.memmap(path, "<u2", mode="r").tofile(file)
    target.unlink()


def make_shard(folder: Path, shard: int, documents: int, mean: int, tokenizer: Path) -> tuple[np.ndarray, int]:
    """A result of encode; returns its doc_ids and the number of its tokens."""
    lengths = lengths_of(documents, 1.0, mean, shard)
    rng = np.random.default_rng(shard)
    ends = np.cumsum(lengths, dtype=np.int64)
    tokens = rng.integers(0, 256, int(ends[-1]), np.uint16)
    tokens[ends - 1] = END
    doc_id = rng.integers(0, 2**64, len(lengths), np.uint64)
    place = folder / f"encode-{shard:03}"
    (place / "tokens").mkdir(parents=True)
    tokens.tofile(place / "tokens/web.bin")
    pq.write_table(pa.table([doc_id, lengths - 1], schema=TOKENS), place / "tokens/web.parquet", compression="zstd")
    sidecar = {
        "documents": len(lengths),
        "tokens": len(tokens),
        "dtype": "uint16",
        "tokenizer_sha256": file_sha256(tokenizer / "tokenizer/tokenizer.json"),
        "sha256": hashlib.sha256(tokens).hexdigest(),
    }
    (place / "tokens/web.json").write_text(json.dumps(sidecar))
    publish(place, "tokenize", "encode", metrics={"sources": {"web": {"licences": ["x"]}}})
    return doc_id, len(tokens)


def select(folder: Path, doc_id: np.ndarray, tokens: int) -> None:
    """Everything is selected."""
    (folder / "selected").mkdir(parents=True)
    ranks = np.random.default_rng(0).permutation(len(doc_id)).astype(np.uint32)
    columns = [doc_id, pa.repeat("train", len(doc_id)), ranks]
    pq.write_table(pa.table(columns, schema=SELECTED), folder / "selected/web.parquet", compression="zstd")
    granted = (tokens - 1) // CONTEXT * CONTEXT
    plan = {"sources": {"web": {"granted_tokens": granted, "tokens": {"held_out": 0}}}}
    (folder / "plan.json").write_text(json.dumps(plan))
    publish(folder, "filter", "select")


def pack(folder: Path, shards: int, tokens: int) -> tuple[float, dict, np.ndarray]:
    """(peak MiB, the source's part of mixture.json, seconds and processor seconds) of tokenize_pack."""
    out = folder / "packed"
    out.mkdir()
    spec = Spec(
        experiment="benchmark",
        stage="tokenize",
        command="pack",
        name="benchmark",
        fingerprint="0" * 64,
        components={},
        config={
            "mixture": {"tokens": tokens, "sources": {"web": {"tokens": tokens}}},
            "context": CONTEXT,
            "packing": "best_fit",
            "seed": 1,
        },
        inputs={
            "tokens": [str(folder / f"encode-{shard:03}") for shard in range(shards)],
            "selected": [str(folder / "selected")],
            "tokenizer": [str(folder / "tokenizer")],
        },
        machine={"device": "cpu", "gpu_model": "any"},
    )
    (out / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "trellis.tokenize", "--spec", str(out / "spec.json"), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    took = clocked(lambda: subprocess.run([*command, "--log", str(out / "log.txt")], check=True, env=environment))
    made = Manifest.read(out)
    shutil.rmtree(out)
    return made.run["peak_mib"], made.metrics["sources"][0], took


def _memory(what: str) -> float:
    """MiB of this process, now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
