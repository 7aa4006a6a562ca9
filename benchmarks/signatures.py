"""MinHash signatures: documents per second of processor time beside two peers, and recall and precision of what they find.

    python benchmarks/signatures.py [--documents 4000] [--datatrove PYTHON]

The documents have 700 words of a Zipf-like vocabulary; every second one is a copy of the one before with some words
replaced, at an exact Jaccard similarity of word 5-grams from 0.3 to 1. The peers, on the same documents and the same core:

original   the original study's way: a set of lower-cased, joined 13-word shingles, each hashed (sha1, as datasketch does),
           128 permutations modulo a Mersenne prime in numpy;
datatrove  the MinhashDedupSignature of datatrove, 5-grams in 14 x 8, with its word tokenizer for English (spaCy's) and
           with a regular expression in its place; PYTHON is an interpreter that has it, since it is no dependency of the
           study (`python -m venv V && V/bin/pip install datatrove tokenizers nltk spacy 'xxhash<4'`).

Recall is measured against the exact similarity of the pairs, and against the theory of banding, 1 - (1 - s**8)**14.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))

import numpy as np  # noqa: E402

from trellis.experiment.duplicates import Signature  # noqa: E402
from trellis.filter.shingles import shingles  # noqa: E402
from trellis.filter.signature_file import SignatureFile  # noqa: E402
from trellis.filter.signatures import signatures  # noqa: E402
from trellis.filter.similar import cluster  # noqa: E402
from trellis.progress import bar  # noqa: E402
from trellis.words import blocks, hash_words  # noqa: E402

WORDS, REPEATS, SIMILARITY = 700, 3, 0.7
MERSENNE, MOST = np.uint64((1 << 61) - 1), np.uint64((1 << 32) - 1)
DATATROVE = """
import json, re, sys, tempfile, time
from importlib.metadata import version
from datatrove.data import Document
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.utils.word_tokenizers import WordTokenizer

class Words(WordTokenizer):
    def word_tokenize(self, text):
        return re.findall(r"\\w+", text)
    def sent_tokenize(self, text):
        raise NotImplementedError
    def span_tokenize(self, text):
        raise NotImplementedError

texts = json.load(open(sys.argv[1]))
config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
rates = {}
for label, language in (("spaCy", "eng"), ("a regular expression", Words())):
    some = texts[: len(texts) // 10] if label == "spaCy" else texts
    for repeat in range(int(sys.argv[2])):
        with tempfile.TemporaryDirectory() as folder:
            stage = MinhashDedupSignature(output_folder=folder, config=config, language=language)
            stage.run([Document(text="first " * 9, id="")], 0, 1)
            documents = [Document(text=text, id=str(place)) for place, text in enumerate(some)]
            begin = time.process_time()
            stage.run(documents, 0, 1)
            rates[label] = max(rates.get(label, 0), len(some) / (time.process_time() - begin))
print(json.dumps({"rates": rates, "version": version("datatrove")}))
"""


def main() -> None:
    """Prints one Markdown report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--datatrove", help="a Python that has datatrove")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    texts, exact = documents(args.documents)
    ours = {n: rate(lambda n=n: sign(texts, n), len(texts)) for n in (5, 13)}
    few = texts[: max(len(texts) // 10, 1)]
    peers = [("the original's way, 13-grams, 16 x 8", rate(lambda: original(few), len(few)), ours[13])]
    if args.datatrove:
        peers += [(label, peer, ours[5]) for label, peer in datatrove(args.datatrove, texts)]
    print(f"# MinHash signatures on one core, {datetime.date.today()}\n")
    print(f"{processor()}, Python {platform.python_version()}, numpy {version('numpy')}, rensa {version('rensa')}")
    print(f"{len(texts):,} documents of {WORDS} words; best of {REPEATS}.\n")
    print("| | documents per processor second | Trellis is faster by |\n|---|---|---|")
    print(f"| Trellis, 5-grams, 14 x 8 | {ours[5]:,.0f} | |\n| Trellis, 13-grams, 16 x 8 | {ours[13]:,.0f} | |")
    for label, peer, own in peers:
        print(f"| {label} | {peer:,.0f} | {own / peer:.1f} |")
    print_quality(texts, exact)


def documents(count: int) -> tuple[list[str], np.ndarray]:
    """The texts, and the exact similarity of each pair of neighbours."""
    rng = random.Random(0)
    letters, weights = "etaoinshrdlucmfwypvbgkjqxz", [1 / (rank + 3) for rank in range(50_000)]
    vocabulary = ["".join(rng.choices(letters, k=rng.randint(1, 9))) for _ in weights]
    texts, exact = [], []
    for _ in range(count // 2):
        words = rng.choices(vocabulary, weights, k=WORDS)
        copy, share = words.copy(), rng.uniform(0, 0.17) ** 1.3
        for place in range(WORDS):
            if rng.random() < share:
                copy[place] = rng.choice(vocabulary)
        sets = [{tuple(each[start : start + 5]) for start in range(WORDS - 4)} for each in (words, copy)]
        exact.append(len(sets[0] & sets[1]) / len(sets[0] | sets[1]))
        marks = rng.choices([" ", ", ", ". ", " \u2019"], [85, 7, 7, 1], k=WORDS)
        texts += ["".join(map("".join, zip(each, marks, strict=True))) for each in (words, copy)]
    return texts, np.array(exact)


def sign(texts: list[str], n: int) -> np.ndarray:
    rules = Signature(ngram=n, bands=16 if n == 13 else 14)
    parts = [signatures(shingles(block, hash_words(block), rules), rules) for block in blocks(texts, 4_000_000)]
    return np.concatenate(parts)


def original(texts: list[str]) -> list[np.ndarray]:
    """The original study's signatures, reconstructed from its description."""
    rng = np.random.RandomState(42)
    a, b = (rng.randint(1, int(MERSENNE), 128, dtype=np.uint64) for _ in range(2))
    made = []
    for text in texts:
        words = text.lower().split()
        joined = {" ".join(words[start : start + 13]) for start in range(len(words) - 12)}
        hashes = [int.from_bytes(hashlib.sha1(each.encode()).digest()[:4], "little") for each in joined]
        values = (np.array(hashes, np.uint64)[:, None] * a + b) % MERSENNE & MOST
        made.append(values.min(axis=0).astype(np.uint32))
    return made


def datatrove(python: str, texts: list[str]) -> list[tuple[str, float]]:
    """Documents per second by word tokenizer; its start-up is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.json"
        path.write_text(json.dumps(texts))
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [python, "-c", DATATROVE, str(path), str(REPEATS)]
        answer = subprocess.run(command, capture_output=True, text=True, env=environment)
    if answer.returncode:
        sys.exit(answer.stderr)
    found = json.loads(answer.stdout.splitlines()[-1])
    name = f"datatrove {found['version']} MinhashDedupSignature, 5-grams, 14 x 8, words by"
    return [(f"{name} {label}", peer) for label, peer in found["rates"].items()]


def rate(work: Callable[[], object], count: int) -> float:
    """Documents per second of processor time, the best of some repeats after one that warms up."""
    seconds = []
    for _ in range(REPEATS + 1):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return count / min(seconds[1:])


def print_quality(texts: list[str], exact: np.ndarray) -> None:
    """What share of pairs is found, by their exact similarity, without and with verification."""
    found = {verified: together(sign(texts, 5), SIMILARITY if verified else None) for verified in (False, True)}
    print("\n| exact Jaccard | pairs | candidates, theory | candidates | joined at 0.7 |\n|---|---|---|---|---|")
    for low in np.arange(0.3, 1, 0.1):
        inside = (exact >= low) & (exact < low + 0.1)
        if inside.any():
            theory = (1 - (1 - exact[inside] ** 8) ** 14).mean()
            shares = " | ".join(f"{100 * found[verified][inside].mean():.1f} %" for verified in (False, True))
            print(f"| {low:.1f}-{low + 0.1:.1f} | {inside.sum()} | {100 * theory:.1f} % | {shares} |")
    true, joined = exact >= SIMILARITY, found[True]
    print(f"\nOf the pairs of Jaccard {SIMILARITY} or more, {100 * joined[true].mean():.1f} % are joined (recall);")
    print(
        f"of the pairs joined, {100 * true[joined].mean():.1f} % are of Jaccard {SIMILARITY} or more (precision), ",
        end="",
    )
    print(
        f"{100 * (exact[joined] >= SIMILARITY - 0.1).mean():.1f} % of {SIMILARITY - 0.1:.1f} or more. Unverified, ",
        end="",
    )
    print(f"precision is {100 * true[found[False]].mean():.1f} %.")


def together(keys: np.ndarray, similarity: float | None) -> np.ndarray:
    """bool [pairs]: whether neighbours end in one cluster."""
    with tempfile.TemporaryDirectory() as folder, bar("pairs", keys.shape[1], "band") as progress:
        file = SignatureFile(Path(folder) / "signatures", keys.shape[1])
        file.append(keys)
        order = np.arange(len(keys), dtype=np.uint32)
        roots = cluster(file, order, np.ones(len(keys), bool), 8, similarity, progress)
        file.close()
    return roots[::2] == roots[1::2]


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
