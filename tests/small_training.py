"""A pretraining in miniature: its orders, and what its results say."""

import json
import sys
from pathlib import Path

from trellis.manifest import Manifest
from trellis.spec import Spec

CONTEXT, VOCABULARY, STEPS = 16, 300, 15
LLAMA = {
    "kind": "llama", "mixture": "m", "hidden_size": 16, "intermediate_size": 32, "layers": 2, "heads": 2, "kv_heads": 1,
    "tie_embeddings": True, "parameters": 9_488,
}  # fmt: skip
NEOX = {
    "kind": "gpt_neox", "mixture": "m", "hidden_size": 16, "intermediate_size": 32, "layers": 2, "heads": 2,
    "tie_embeddings": True, "parameters": 9_280,
}  # fmt: skip
RECIPE = {
    "context": CONTEXT, "batch_tokens": 8 * CONTEXT, "max_lr": 3e-2, "min_lr": 3e-3, "warmup_steps": 2,
    "validation_interval": 7, "micro_batch": 8, "log_interval": 3,
}  # fmt: skip


def digests(made: Manifest) -> dict[str, str]:
    return {file.path: file.sha256 for file in made.files}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def losses(made: Manifest) -> list[float]:
    return [line["loss"] for line in lines(made.folder / "metrics.jsonl") if "loss" in line]


def command(spec: Spec, folder: Path) -> list[str]:
    """The stage's command line for this order, with its log in `folder`, its result in `folder/out`."""
    folder.mkdir(parents=True, exist_ok=True)
    order, log = folder / "spec.json", folder / "log.txt"
    order.write_text(spec.model_dump_json())
    words = ["-m", "trellis.pretrain", "--spec", str(order), "--out", str(folder / "out"), "--log", str(log)]
    return [sys.executable, *words]
