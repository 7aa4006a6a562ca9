"""The study's own loop, as its stage runs it."""

import tempfile
from pathlib import Path

import torch
from transformers import PreTrainedModel

from pretraining.fp8 import use_float8
from pretraining.size import END_TOKEN, Size
from trellis.device import deterministic
from trellis.manifest import Manifest
from trellis.pretrain.checkpoint import Identity
from trellis.pretrain.distributed import World
from trellis.pretrain.journal import METRICS, read_lines
from trellis.pretrain.loop import Loop
from trellis.pretrain.objective import NextTokenLoss
from trellis.pretrain.rows import Mixture
from trellis.pretrain.speed import Cost
from trellis.pretrain.trainer import Trainer


def ours(size: Size, start: PreTrainedModel, packed: Path, device: torch.device) -> float:
    """Trains `start` by the recipe; returns the mean loss of the first step, in nats per token."""
    recipe, weights = size.recipe, dict(start.named_parameters())
    mixture = Mixture(Manifest.read(packed), size.vocab_size)
    cost = Cost.of(size.model, size.vocab_size, recipe, device, 1)
    with deterministic(recipe.deterministic), tempfile.TemporaryDirectory() as work:
        objective = NextTokenLoss(start, recipe, END_TOKEN, device)
        trainer = Trainer(objective, weights, mixture, recipe, World(), device)
        Loop(trainer, Path(work), Identity("benchmark", mixture.fingerprint), cost).run()
        return read_lines(Path(work) / METRICS)[0]["loss"]


def float8(size: Size, start: PreTrainedModel, packed: Path, device: torch.device) -> float:
    """The same, with the products of the blocks in float8."""
    use_float8(start.model.layers)
    return ours(size, start, packed, device)
