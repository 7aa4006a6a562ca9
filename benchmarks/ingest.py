"""How fast one core turns a source into documents, as MB of text a second, against the ways to read the same file.

    python benchmarks/ingest.py [--megabytes 200] [--rounds 5]

The file is made up: rows in FineWeb-Edu's schema, words drawn by Zipf's law, zstd, row groups of 1,000 rows. Ours is all of
`download_shard`: reading, the rules, ids, meta and the document table. Its peers read the same file on the same core: a loop
over `datasets` in streaming mode, pyarrow that only reads the same columns batch by batch, and pyarrow that also writes
what it has read, with the same compression (the limit for whoever writes). Every measurement is a process of its own, which
does the work twice and times the second time: imports and first pages are not the subject. Seconds are the processor's, so
that other work on the machine tells less; rounds take turns, and the median counts.
"""

import argparse
import datetime
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))

COLUMNS = ["text", "id", "dump", "url", "language", "language_score", "token_count", "score", "int_score"]
PEERS = {
    "ours": "ours (download_shard, text_column)",
    "streaming": "datasets, streaming",
    "read": "pyarrow, reading only",
    "copy": "pyarrow, reading and writing",
}
RENDERED = {"code_file": 0.25, "question_answer": 0.05, "wiki_article": 0.1}  # share of the megabytes


def main() -> None:
    """Prints one Markdown report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200, help="text in the file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure[0], Path(args.measure[1]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = {name: folder / f"{name}.parquet" for name in ROWS}
        sizes = {name: round(args.megabytes * 1e6 * RENDERED.get(name, 1)) for name in ROWS}
        text_bytes = {name: make(path, sizes[name], ROWS[name]()) for name, path in files.items()}
        found: dict[str, list[dict]] = {name: [] for name in [*PEERS, *RENDERED]}
        for _ in range(args.rounds):
            for name in found:
                command = [sys.executable, __file__, "--measure", name, str(files.get(name, files["text_column"]))]
                answer = subprocess.run(command, capture_output=True, text=True, env=environment(folder))
                if answer.returncode:
                    sys.exit(answer.stderr)
                found[name].append(json.loads(answer.stdout.splitlines()[-1]))
        print_tables(args, files, text_bytes, found)


def environment(folder: Path) -> dict[str, str]:
    """One thread for every library, and no cache but the scratch folder's."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HOME": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT / "workflow/scripts"),
    }


def measure(name: str, path: Path) -> None:
    """Does one way twice, on one core; prints the second time's processor seconds, and the peak memory."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as scratch:
        peer = {"streaming": streaming, "read": read, "copy": copy}.get(name)
        reader = "text_column" if name == "ours" else name
        work = peer(path, Path(scratch)) if peer else shard(path, Path(scratch), reader)
        work()
        begin = time.process_time()
        work()
        seconds = time.process_time() - begin
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps({"seconds": seconds, "peak_mib": int(peak) / 1024}))


def shard(path: Path, out: Path, reader: str):
    """The stage's command, on a result of download_hub that holds the file."""
    from trellis.download import shard
    from trellis.manifest import Manifest, list_files
    from trellis.spec import Spec

    fetched = out / "fetched"
    (fetched / "files").mkdir(parents=True)
    (fetched / "files/000.parquet").symlink_to(path)
    Manifest(
        stage="download",
        command="hub",
        name="",
        fingerprint="",
        components={},
        files=list_files(fetched, {}),
        metrics={"repo": "datasets/benchmark/set"},
        run={},
        folder=fetched,
    ).write()
    config = {"source": "set", "rules": {"licence": "MIT"}, "reader": reader, "shard": 0, "shards": 1, "local": None}
    spec = Spec(
        experiment="",
        stage="download",
        command="shard",
        name="",
        fingerprint="",
        components={},
        config=config,
        inputs={"files": [str(fetched)]},
        machine={},
    )
    return lambda: shard.run(spec, out / "made")


def streaming(path: Path, out: Path):
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=str(path), split="train", streaming=True)
    return lambda: sum(len(row["text"]) for row in rows)


def read(path: Path, out: Path):
    def work() -> None:
        with pq.ParquetFile(path) as file:
            for _ in file.iter_batches(1_000, columns=COLUMNS, use_threads=False):
                pass

    return work


def copy(path: Path, out: Path):
    def work() -> None:
        with pq.ParquetFile(path) as file:
            schema = pa.schema([file.schema_arrow.field(name) for name in COLUMNS])
            with pq.ParquetWriter(out / "copy.parquet", schema, compression="zstd") as writer:
                for batch in file.iter_batches(1_000, columns=COLUMNS, use_threads=False):
                    writer.write_batch(batch)

    return work


def vocabulary(chance: np.random.Generator) -> list[str]:
    letters, weights = list("etaoinshrdlucmwfgypbvkjxqz"), 1 / np.arange(2.0, 28.0)
    lengths = chance.integers(2, 12, 30_000)
    drawn = chance.choice(letters, int(lengths.sum()), p=weights / weights.sum())
    return ["".join(word) for word in np.split(drawn, np.cumsum(lengths)[:-1])]


def prose(chance: np.random.Generator, words: list[str], count: int) -> str:
    """Sentences and paragraphs of words by Zipf's law."""
    drawn = [words[index % len(words)] for index in chance.zipf(1.15, count).tolist()]
    for end in range(11, count, 13):
        drawn[end] += ".\n" if end % 5 == 0 else "."
    return " ".join(drawn)


def make(path: Path, size: int, rows: Iterator[tuple[str, dict]]) -> int:
    """Writes rows until their texts have so many bytes; returns how many they have."""
    made, taken = 0, []
    while made < size:
        text, row = next(rows)
        taken.append(row)
        made += len(text.encode())
    pq.write_table(pa.Table.from_pylist(taken), path, row_group_size=1_000, compression="zstd")
    return made


def pages() -> Iterator[tuple[str, dict]]:
    chance = np.random.default_rng(1)
    words = vocabulary(chance)
    for number in itertools.count():
        text = prose(chance, words, int(chance.lognormal(6.2, 0.8)) + 20)
        about = {
            "id": f"<urn:uuid:{chance.bytes(16).hex()}>",
            "dump": "CC-MAIN-2024-18",
            "url": f"https://{words[number % 5_000]}.example/{words[number % 7_919]}/{number}",
            "file_path": f"s3://crawl/CC-MAIN-2024-18/segments/{number // 500:06d}/warc.gz",
            "language": "en",
            "language_score": float(chance.uniform(0.65, 1)),
            "token_count": len(text) // 4,
            "score": float(chance.uniform(2.5, 4.5)),
            "int_score": 3,
        }
        yield text, {"text": text, **about}


def programs() -> Iterator[tuple[str, dict]]:
    chance = np.random.default_rng(2)
    words = vocabulary(chance)
    for number in itertools.count():
        lines = []
        for _ in range(int(chance.integers(10, 120))):
            a, b, c, d, e, f = (words[index % len(words)] for index in chance.zipf(1.2, 6).tolist())
            lines.append(f"def {a}_{b}({c}, {d}):\n    return {c}.{e}({f})\n")
        text, repo = "\n".join(lines), f"{words[number % 999]}/{words[number % 7_919]}"
        yield (
            text,
            {
                "max_stars_repo_path": f"src/{words[number % 5_000]}.py",
                "max_stars_repo_name": repo,
                "max_stars_count": int(chance.integers(0, 500)),
                "id": str(number),
                "content": f"<reponame>{repo}\n{text}",
            },
        )


def threads() -> Iterator[tuple[str, dict]]:
    chance = np.random.default_rng(3)
    words = vocabulary(chance)

    def html(count: int) -> str:
        code = f"<pre><code>{prose(chance, words, 30)} &lt; 1\n</code></pre>"
        inside = f"<p>{prose(chance, words, count)} <a href='https://x.example'>a link</a> and <code>inline</code></p>"
        return f"{inside}\n{code}\n<ul><li>{prose(chance, words, 12)}</li><li>{prose(chance, words, 12)}</li></ul>"

    for number in itertools.count():
        question, *answers = html(90), html(70), html(70)
        about = {"author": "someone", "author_id": 7, "author_profile": "https://site.example/users/7"}
        found = [
            {"answer_id": 2 * number + index, **about, "pm_score": 4 - index, "selected": index == 0, "text": text}
            for index, text in enumerate(answers)
        ]
        links = [f"https://site.example/questions/{number}", "https://site.example"]
        row = {"qid": number, "question": question, "answers": found, "metadata": links, "date": "2020/01/01"}
        yield question + answers[0], row


def articles() -> Iterator[tuple[str, dict]]:
    chance = np.random.default_rng(4)
    words = vocabulary(chance)
    for number in itertools.count():
        paragraphs = [prose(chance, words, 80) for _ in range(6)]
        links = [{"url": "https://x.example/a", "text": "a"}] * 5
        sections = [
            {
                "type": "section",
                "name": words[index] if index else "Abstract",
                "has_parts": [{"type": "paragraph", "value": text, "links": links}],
            }
            for index, text in enumerate(paragraphs)
        ]
        fields = [{"type": "field", "name": words[index], "value": words[index + 9]} for index in range(12)]
        about = {"name": f"Article {number}", "identifier": number, "url": f"https://wiki.example/{number}"}
        boxes = [{"type": "infobox", "has_parts": [{"type": "section", "has_parts": fields}]}]
        trees = {"infoboxes": json.dumps(boxes), "sections": json.dumps(sections)}
        yield " ".join(paragraphs), {**about, "description": "An article", "abstract": paragraphs[0], **trees}


ROWS = {"text_column": pages, "code_file": programs, "question_answer": threads, "wiki_article": articles}


def print_tables(args: argparse.Namespace, files: dict, text_bytes: dict, found: dict[str, list[dict]]) -> None:
    """The report, with what it was measured on."""
    speed = {
        name: text_bytes.get(name, text_bytes["text_column"])
        / 1e6
        / statistics.median(each["seconds"] for each in runs)
        for name, runs in found.items()
    }
    peak = {name: max(each["peak_mib"] for each in runs) for name, runs in found.items()}
    versions = ", ".join(f"{name} {version(name)}" for name in ("pyarrow", "datasets", "pydantic"))
    print(f"# Ingest, one core, {datetime.date.today()}\n")
    print(
        f"{processor()}, Python {platform.python_version()}, {versions}; processor seconds, median of {args.rounds} rounds\n"
    )
    stored = files["text_column"].stat().st_size
    print(f"{text_bytes['text_column'] / 1e6:.0f} MB of text in {stored / 1e6:.0f} MB of parquet:\n")
    print("| way | MB/s | ours is | peak MiB |\n|---|---|---|---|")
    for name, words in PEERS.items():
        ratio = "" if name == "ours" else f"{speed['ours'] / speed[name]:.2f} x"
        print(f"| {words} | {speed[name]:.0f} | {ratio} | {peak[name]:.0f} |")
    print("\nRenderers, from rows as the hub has them to the document table:\n")
    print("| renderer | MB of text | MB/s | peak MiB |\n|---|---|---|---|")
    for name in RENDERED:
        print(f"| {name} | {text_bytes[name] / 1e6:.0f} | {speed[name]:.1f} | {peak[name]:.0f} |")


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
