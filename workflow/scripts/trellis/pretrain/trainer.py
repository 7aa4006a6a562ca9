"""One step of training, and validation: all that a device computes, and nothing that the host would have to wait for."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from trellis.experiment.pretraining import Pretraining
from trellis.pretrain.checkpoint import State
from trellis.pretrain.distributed import World
from trellis.pretrain.rows import Mixture, read_ahead
from trellis.pretrain.schedule import learning_rate


@dataclass(frozen=True)
class Taken:
    """A step that was taken: `loss` is this process's part of the batch's mean, in nats per token, `norm` the gradient's
    before it was clipped; both are scalars on the device, which may not have computed them yet."""

    step: int
    loss: torch.Tensor
    norm: torch.Tensor
    rate: float


class Trainer:
    """`objective` maps rows [rows, context + 1] to their summed loss in nats; `weights` are its parameters by the names
    that checkpoints know them by."""

    def __init__(
        self,
        objective: torch.nn.Module,
        weights: dict[str, torch.nn.Parameter],
        mixture: Mixture,
        recipe: Pretraining,
        world: World,
        device: torch.device,
    ) -> None:
        self.objective, self.mixture, self.recipe, self.world, self.device = objective, mixture, recipe, world, device
        self.batch_rows = recipe.batch_tokens // recipe.context
        self.steps = mixture.steps(self.batch_rows)
        self.state = State(weights, _adamw(list(weights.values()), recipe))
        self.replicated = world.replicated(objective, device)

    def tokens(self, steps: int) -> int:
        """How many tokens the first `steps` steps read."""
        return min(steps * self.batch_rows, len(self.mixture.order)) * self.recipe.context

    def batches(self, done: int) -> Iterator[torch.Tensor]:
        """This process's rows of every step after the first `done`. A process without a share reads one row, which counts
        nothing: it must compute something, for the others wait for its gradient."""
        batches = (self.mixture.batch(step, self.batch_rows) for step in range(done, self.steps))
        mine = ((self.world.share(batch), batch[:1]) for batch in batches)
        return read_ahead(self.mixture.train, (share if len(share) else one for share, one in mine), self.device)

    def step(self, step: int, rows: torch.Tensor) -> Taken:
        """Takes step `step` (from 0) on this process's `rows`. Its loss is the mean over all tokens of the batch, however
        they are divided into processes and micro-batches."""
        rate = learning_rate(step, self.steps, self.recipe)
        for group in self.state.optimizer.param_groups:
            group["lr"] = rate
        batch = self.mixture.batch(step, self.batch_rows)
        counts = 1 / (len(batch) * self.recipe.context) if len(self.world.share(batch)) else 0.0
        total = torch.zeros((), device=self.device)
        parts = rows.split(self.recipe.micro_batch)
        for number, part in enumerate(parts, 1):
            with self._unsynchronised() if number < len(parts) else contextlib.nullcontext():
                loss = self.replicated(part.to(self.device, non_blocking=True)) * counts
                # Times the processes, over which the gradient is averaged.
                (loss * self.world.size).backward()
            total += loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.state.weights.values(), self.recipe.clip)
        self.state.optimizer.step()
        self.state.optimizer.zero_grad(set_to_none=True)
        return Taken(step, total, norm, rate)

    def _unsynchronised(self) -> contextlib.AbstractContextManager:
        return self.replicated.no_sync() if self.world.size > 1 else contextlib.nullcontext()

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Loss in nats per token and bits per byte, over all validation rows and by source; empty where there are none."""
        self.objective.eval()
        sums = torch.zeros(len(self.mixture.validation), dtype=torch.float64, device=self.device)
        for index, (rows, _) in enumerate(self.mixture.validation.values()):
            share = self.world.share(rows.numbers)
            for begin in range(0, len(share), self.recipe.micro_batch):
                part = rows.read(share[begin : begin + self.recipe.micro_batch])
                sums[index] += self.objective(part.to(self.device))
        self.objective.train()
        nats = self.world.summed(sums.tolist())
        sizes = [(len(rows) * self.recipe.context, text) for rows, text in self.mixture.validation.values()]
        if not nats:
            return {}
        tokens, text = (sum(size) for size in zip(*sizes, strict=True))
        sources = {
            name: _per_token_and_byte(loss, *size)
            for name, loss, size in zip(self.mixture.validation, nats, sizes, strict=True)
        }
        return {**_per_token_and_byte(sum(nats), tokens, text), "sources": sources}


def _per_token_and_byte(nats: float, tokens: int, text_bytes: int) -> dict[str, float]:
    return {"loss": nats / tokens, "bits_per_byte": nats / math.log(2) / text_bytes}


def _adamw(weights: list[torch.nn.Parameter], recipe: Pretraining) -> torch.optim.AdamW:
    """Weight decay on matrices only: norms and biases have nothing to shrink for."""
    matrices = [weight for weight in weights if weight.ndim >= 2]
    others = [weight for weight in weights if weight.ndim < 2]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=recipe.max_lr, betas=recipe.betas, fused=True
    )
