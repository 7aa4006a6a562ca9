"""Pretrains one model and writes it as a folder that transformers loads without any code of ours."""

import shutil
from functools import partial
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from trellis.command import Result
from trellis.device import deterministic, hardware, pick_device
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.experiment.models import Decoder, Model
from trellis.experiment.pretraining import Pretraining
from trellis.manifest import WORK, Manifest
from trellis.models.build import build
from trellis.models.size import training_flops
from trellis.pretrain.card import trained_card
from trellis.pretrain.checkpoint import Identity
from trellis.pretrain.distributed import World, together
from trellis.pretrain.export import export
from trellis.pretrain.journal import METRICS, SPEED, read_lines
from trellis.pretrain.loop import Loop
from trellis.pretrain.objective import NextTokenLoss
from trellis.pretrain.rows import Mixture, verify
from trellis.pretrain.speed import Cost, account
from trellis.pretrain.tracking import open_tracker
from trellis.pretrain.trainer import Trainer
from trellis.spec import Spec


def run(spec: Spec, out: Path) -> Result:
    """Trains to the end of the mixture. Raises TrellisError when memory or the disk runs out, when a loss is no number, or
    when the mixture is not what was packed."""
    torch.set_num_threads(spec.threads)
    model = TypeAdapter(Model).validate_python(spec.config["model"])
    recipe = Pretraining.model_validate(spec.config["pretraining"])
    with deterministic(recipe.deterministic), together() as world:
        device = pick_device(spec.machine)
        try:
            module = _trained(spec, model, recipe, out, device, world)
        except torch.OutOfMemoryError:
            raise _too_large(recipe, world.size) from None
    if not world.first:
        return Result()
    lines = read_lines(out / WORK / METRICS)
    steps = [line for line in lines if "loss" in line]
    validation = next(line["validation"] for line in reversed(lines) if "validation" in line)
    tokens = steps[-1]["tokens"]
    metrics = {
        "parameters": model.parameters,
        "steps": len(steps),
        "tokens": tokens,
        "training_flops": tokens * training_flops(model, spec.config["vocab_size"], recipe.context),
        "final_loss": steps[-1]["loss"],
        "validation_loss": validation.get("loss"),
        "bits_per_byte": validation.get("bits_per_byte"),
    }
    try:
        for name in (METRICS, SPEED):
            shutil.copyfile(out / WORK / name, out / name)
        export(module, spec.input("tokenizer"), out / "model", trained_card(spec, metrics, validation))
    except (OSError, SafetensorError) as error:
        raise TrellisError(
            f"the model could not be written to {out} ({error}); its last checkpoint is kept: make room and run again"
        ) from None
    gpus = world.size if device.type == "cuda" else 0
    speed = {**account(read_lines(out / SPEED)), "gpus": gpus, **hardware(device)}
    return Result(metrics, rows={METRICS: len(lines)}, run=speed)


def _trained(
    spec: Spec, model: Decoder, recipe: Pretraining, out: Path, device: torch.device, world: World
) -> PreTrainedModel:
    packed, vocab_size = spec.input("mixture"), spec.config["vocab_size"]
    if world.first:
        verify(packed)
    world.wait()
    mixture = Mixture(packed, vocab_size)
    end_token = _end_token(spec.input("tokenizer"))
    module = build(model, vocab_size, recipe.context, end_token, recipe.seed)
    weights = dict(module.named_parameters())
    trainer = Trainer(NextTokenLoss(module, recipe, end_token, device), weights, mixture, recipe, world, device)
    Loop(
        trainer,
        out / WORK,
        Identity(spec.fingerprint, mixture.fingerprint),
        Cost.of(model, vocab_size, recipe, device, world.size),
        partial(open_tracker, recipe.tracker, out, spec),
    ).run()
    return module


def _too_large(recipe: Pretraining, processes: int) -> TrellisError:
    """What to do when memory ran out: smaller micro-batches as long as there are any, for they cost least."""
    # A process has no more rows than its share of a batch, whatever micro_batch allows; the first has the largest.
    rows = min(recipe.micro_batch, -(-(recipe.batch_tokens // recipe.context) // processes))
    if rows > 1:
        remedy = f"set pretraining.micro_batch to {rows // 2}"
    elif recipe.gradient_checkpointing != "full":
        remedy = "set pretraining.gradient_checkpointing to full"
    else:
        remedy = "take a GPU with more memory, or a smaller model"
    return TrellisError(
        f"the GPU's memory does not hold micro-batches of {rows} rows of {recipe.context} tokens with "
        f"gradient checkpointing {recipe.gradient_checkpointing}; {remedy}, and run again: results stay the same, and the "
        f"last checkpoint is kept"
    )


def _end_token(tokenizer: Manifest) -> int:
    return Tokenizer.from_file(str(tokenizer.path("tokenizer/tokenizer.json"))).token_to_id(END_OF_TEXT)
