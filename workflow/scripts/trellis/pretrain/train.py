"""Pretrains one model and writes it as a folder that transformers loads without any code of ours."""

import shutil
from pathlib import Path

import torch
from pydantic import TypeAdapter
from tokenizers import Tokenizer

from trellis.command import Result
from trellis.device import hardware, pick_device
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.experiment.models import Model
from trellis.experiment.pretraining import Pretraining
from trellis.manifest import WORK, Manifest
from trellis.models.build import build
from trellis.models.size import training_flops
from trellis.pretrain.loop import Loop, write_lines
from trellis.pretrain.rows import Mixture
from trellis.spec import Spec


def run(spec: Spec, out: Path) -> Result:
    """Trains to the end of the mixture. Raises TrellisError when memory runs out or the loss is no number."""
    torch.set_num_threads(spec.threads)
    device = pick_device(spec.machine)
    model = TypeAdapter(Model).validate_python(spec.config["model"])
    recipe = Pretraining.model_validate(spec.config["pretraining"])
    vocab_size = spec.config["vocab_size"]
    tokenizer = spec.input("tokenizer")
    mixture = Mixture(spec.input("mixture"))
    module = build(model, vocab_size, recipe.context, _end_token(tokenizer), recipe.seed)
    loop = Loop(module, mixture, recipe, device, out / WORK, spec.fingerprint)
    try:
        lines = loop.run()
    except torch.OutOfMemoryError:
        smaller = max(recipe.micro_batch // 2, 1)
        raise TrellisError(
            f"the GPU's memory does not hold micro-batches of {recipe.micro_batch} rows; set pretraining.micro_batch to "
            f"{smaller} (results stay the same), or pretraining.gradient_checkpointing to true"
        ) from None
    _export(module, tokenizer, out / "model")
    write_lines(out / "metrics.jsonl", lines)
    validation = next(line["validation"] for line in reversed(lines) if "validation" in line)
    tokens = lines[-1]["tokens"]
    metrics = {
        "parameters": model.parameters,
        "steps": loop.steps,
        "tokens": tokens,
        "training_flops": tokens * training_flops(model, vocab_size, recipe.context),
        "final_loss": next(line["loss"] for line in reversed(lines) if "loss" in line),
        "validation_loss": validation.get("loss"),
        "bits_per_byte": validation.get("bits_per_byte"),
    }
    run_account = {"tokens_per_second": round(loop.tokens_per_second, 1), **hardware(device)}
    if device.type == "cuda":
        run_account["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return Result(metrics, rows={"metrics.jsonl": len(lines)}, run=run_account)


def _end_token(tokenizer: Manifest) -> int:
    return Tokenizer.from_file(str(tokenizer.path("tokenizer/tokenizer.json"))).token_to_id(END_OF_TEXT)


def _export(module, tokenizer: Manifest, folder: Path) -> None:
    module.config.use_cache = True
    module.generation_config.use_cache = True
    module.to("cpu").save_pretrained(folder, safe_serialization=True)
    for path in tokenizer.paths("tokenizer/"):
        shutil.copy(path, folder / path.name)
