"""The training loop: rows in, loss down, everything restorable."""

import json
import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F

from trellis.device import autocast
from trellis.errors import TrellisError
from trellis.experiment.pretraining import Pretraining
from trellis.manifest import write_atomically
from trellis.pretrain import checkpoint
from trellis.pretrain.rows import Mixture
from trellis.pretrain.schedule import learning_rate
from trellis.progress import bar

LOG = logging.getLogger("trellis")


class Loop:
    """Trains `module` on `mixture` by `recipe`. `work` keeps checkpoint and metrics of a run that is not finished."""

    def __init__(
        self,
        module: torch.nn.Module,
        mixture: Mixture,
        recipe: Pretraining,
        device: torch.device,
        work: Path,
        fingerprint: str,
    ) -> None:
        self.module, self.mixture, self.recipe, self.device = module.to(device), mixture, recipe, device
        self.work, self.fingerprint = work, fingerprint
        self.batch_rows = recipe.batch_tokens // recipe.context
        self.steps = mixture.steps(self.batch_rows)
        if recipe.gradient_checkpointing:
            self.module.gradient_checkpointing_enable()
        self.forward = torch.compile(self.module) if recipe.compile else self.module
        self.optimizer = _adamw(self.module, recipe)
        self.stopped = False
        self.tokens_per_second = 0.0

    def run(self) -> list[dict]:
        """Trains to the last step, from the checkpoint if there is one; returns the lines of metrics.jsonl."""
        self.work.mkdir(exist_ok=True)
        done = checkpoint.load(self.work, self.fingerprint, self.module, self.optimizer)
        lines = _kept_lines(self.work / "metrics.jsonl", done)
        if done:
            LOG.info("going on from the checkpoint of step %d", done)
        begun = saved = time.monotonic()
        pending: list[tuple[torch.Tensor, torch.Tensor, float]] = []
        with _stop_on_sigterm(self), bar("pretraining", self.steps - done, "steps") as progress:
            for step in range(done, self.steps):
                pending.append(self._step(step))
                finished = step + 1
                save = self.stopped or time.monotonic() - saved > 60 * self.recipe.checkpoint_minutes
                validate = finished % self.recipe.validation_interval == 0 or finished == self.steps
                if save or validate or finished % self.recipe.log_interval == 0:
                    lines += self._collected(pending, finished)
                    pending = []
                if validate:
                    lines.append({**self._position(finished), "validation": self._validate()})
                if save:
                    self._save(finished, lines)
                    saved = time.monotonic()
                if self.stopped:
                    raise TrellisError(f"stopped by SIGTERM after step {finished}; run again to go on from there")
                progress.advance(note=_last_loss(lines))
        trained = self._position(self.steps)["tokens"] - self._position(done)["tokens"]
        self.tokens_per_second = trained / (time.monotonic() - begun)
        return lines

    def _step(self, step: int) -> tuple[torch.Tensor, torch.Tensor, float]:
        """One optimizer step; the loss is the mean over all tokens of the batch, whatever the micro-batch."""
        rate = learning_rate(step, self.steps, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rows = self.mixture.train.read(self.mixture.batch(step, self.batch_rows))
        targets = rows.shape[0] * self.recipe.context
        total = torch.zeros((), device=self.device)
        for part in rows.split(self.recipe.micro_batch):
            loss = self._loss(part) / targets
            loss.backward()
            total += loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total, norm, rate

    def _loss(self, rows: torch.Tensor) -> torch.Tensor:
        """The summed loss of rows [rows, context + 1] in nats, in float32."""
        rows = rows.to(self.device, non_blocking=True)
        with autocast(self.device, self.recipe.precision):
            logits = self.forward(input_ids=rows[:, :-1], use_cache=False).logits
        return F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten(), reduction="sum")

    @torch.no_grad()
    def _validate(self) -> dict:
        """Loss in nats per token and bits per byte over all validation rows, and bits per byte of each source."""
        self.module.eval()
        nats, tokens, size, sources = 0.0, 0, 0, {}
        for name, (rows, text_bytes) in self.mixture.validation.items():
            numbers = torch.arange(len(rows)).numpy()
            parts = rows.read(numbers).split(self.recipe.micro_batch)
            loss = sum(self._loss(part).item() for part in parts)
            sources[name] = loss / math.log(2) / text_bytes
            nats, tokens, size = nats + loss, tokens + len(rows) * self.recipe.context, size + text_bytes
        self.module.train()
        return {"loss": nats / tokens, "bits_per_byte": nats / math.log(2) / size, "sources": sources} if tokens else {}

    def _collected(self, pending: list[tuple[torch.Tensor, torch.Tensor, float]], finished: int) -> list[dict]:
        """The metrics of the last steps: the one place where the host waits for the device. Raises TrellisError for a
        loss that is no number, before a checkpoint could keep it."""
        losses = torch.stack([loss for loss, _, _ in pending]).tolist()
        norms = torch.stack([norm for _, norm, _ in pending]).tolist()
        lines = []
        for step, loss, norm, (_, _, rate) in zip(
            range(finished - len(pending), finished), losses, norms, pending, strict=True
        ):
            if not math.isfinite(loss):
                rows = self.mixture.batch(step, self.batch_rows)
                raise TrellisError(
                    f"the loss is {loss} at step {step + 1}, which read rows {rows[:4].tolist()}... of the mixture; the last "
                    f"good checkpoint is kept in {self.work}; lower pretraining.max_lr or look at these rows"
                )
            lines.append({**self._position(step + 1), "loss": loss, "lr": rate, "gradient_norm": norm})
        return lines

    def _position(self, finished: int) -> dict[str, int]:
        tokens = min(finished * self.batch_rows, len(self.mixture.order)) * self.recipe.context
        return {"step": finished, "tokens": tokens}

    def _save(self, finished: int, lines: list[dict]) -> None:
        write_lines(self.work / "metrics.jsonl", lines)
        checkpoint.save(self.work, self.fingerprint, finished, self.module, self.optimizer)
        LOG.info("checkpoint after step %d", finished)


def _last_loss(lines: list[dict]) -> str:
    return next((f"loss {line['loss']:.3f}" for line in reversed(lines) if "loss" in line), "")


def write_lines(path: Path, lines: list[dict]) -> None:
    """Writes JSON lines, the old ones until all new ones are there."""
    write_atomically(path, "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))


def _adamw(module: torch.nn.Module, recipe: Pretraining) -> torch.optim.AdamW:
    """Weight decay on matrices only: norms and biases have nothing to shrink for."""
    matrices = [weight for weight in module.parameters() if weight.ndim >= 2]
    others = [weight for weight in module.parameters() if weight.ndim < 2]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=recipe.max_lr, betas=recipe.betas, fused=True
    )


def _kept_lines(path: Path, done: int) -> list[dict]:
    """The metrics up to the checkpoint; what came after it will come again."""
    if not done or not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["step"] <= done]


@contextmanager
def _stop_on_sigterm(loop: Loop) -> Iterator[None]:
    def stop(*_) -> None:
        loop.stopped = True

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
