"""The lines of the table: which loop, and what is changed in the experiment's recipe for it."""

from dataclasses import dataclass, field

import torch

from pretraining.fp8 import available
from pretraining.size import Size

CEILING = "ceiling"


@dataclass(frozen=True)
class Row:
    """`loop` is the name of a function in `peers` or `ours`."""

    label: str
    loop: str
    changes: dict = field(default_factory=dict)


def rows_of(size: Size, device: torch.device) -> dict[str, Row]:
    """The peers and ours; the ladder, from the plainest loop up to ours; and ours with one thing changed."""
    configured = size.recipe.compile
    full = {"gradient_checkpointing": "full"}
    model, layer, eager = {"compile": "model"}, {"compile": "layer"}, {"compile": "none"}
    selective = {"gradient_checkpointing": "selective"}
    other = model if configured == "none" else eager
    words = {"none": "eager", "layer": "compiled", "model": "compiled"}
    rows = {
        "original": Row("(b) the original's loop", "original", full),
        "trainer": Row(f"(a) HF Trainer, {words[configured]}", "hf_trainer"),
        "trainer-other": Row(f"HF Trainer, {words[other['compile']]}", "hf_trainer", other),
        "ours": Row(f"**Trellis as configured**, compile {configured}", "ours"),
        "eager": Row("ladder 1: transformers' module, eager, checkpointing full", "plain", full | eager),
        "compiled": Row("2: + compiled as a whole, with its mask", "plain", full | model),
        "unmasked": Row("3: + attention without a mask", "unmasked", full | model),
        "chunked": Row("4: + chunked loss: Trellis", "ours", full | model),
        "layer": Row("5: compiled by layer", "ours", full | layer),
        "selective": Row("6: + checkpointing selective", "ours", selective | layer),
        "no-checkpointing": Row("7: + no checkpointing", "ours", layer),
        "model": Row("7, compiled as a whole", "ours", model),
    }
    for factor in (2, 4):
        if (micro_batch := factor * size.recipe.micro_batch) <= size.batch_rows:
            rows[f"micro-batch-{factor}x"] = Row(
                "as configured, larger micro-batch", "ours", {"micro_batch": micro_batch}
            )
    if available(device):
        rows["float8"] = Row("as configured, FP8", "float8")
    rows["deterministic"] = Row("as configured, deterministic", "ours", {"deterministic": True})
    return rows
