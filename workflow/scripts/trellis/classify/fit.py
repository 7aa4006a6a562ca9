"""The training loop: AdamW with linear warm-up and decay, judged on the validation split and saved after every epoch."""

import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from trellis.classify.batches import pad
from trellis.classify.checkpoint import Checkpoint
from trellis.classify.labelled import Split
from trellis.classify.model import Classifier
from trellis.classify.quality import mean_quality
from trellis.errors import TrellisError
from trellis.experiment.classify import ClassifierTraining
from trellis.progress import Bar, bar

LOG = logging.getLogger("trellis")
Judge = Callable[[Classifier], dict[str, float | None]]


def fit(
    model: Classifier,
    train: Split,
    training: ClassifierTraining,
    seed: int,
    judge: Judge,
    work: Path,
    fingerprint: str,
) -> list[dict]:
    """Trains in place and returns the epochs' history: {epoch, loss, validation by rubric, quality, their mean}. `judge`
    measures a model on the validation split, 1 at best; the epoch of the highest mean is kept where `select_epoch` is best,
    the earlier one of equals. Resumes from `work`. Raises TrellisError when the loss is not finite."""
    _freeze(model.encoder, training.trained_layers)
    learning = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]
    groups = [
        {"params": learning, "peak": training.learning_rate},
        {"params": list(model.layers.parameters()), "peak": training.head_learning_rate},
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=training.weight_decay)
    checkpoint = Checkpoint(work, fingerprint, model, optimizer)
    history = checkpoint.resume()
    if history:
        LOG.info("going on after epoch %d", len(history))
    steps = -(-len(train.ids) // training.batch)
    with bar("classifier", training.epochs * steps, "step") as progress:
        progress.advance(len(history) * steps)
        for epoch in range(len(history), training.epochs):
            # The documents in a new order every epoch, whichever epochs this process has seen.
            order = np.random.default_rng([seed, epoch]).permutation(len(train.ids))
            batches = [order[start : start + training.batch] for start in range(0, len(train.ids), training.batch)]
            loss = _epoch(model, optimizer, train, batches, training, epoch, progress)
            validation = judge(model)
            quality = mean_quality(validation)
            is_best = all(quality > other["quality"] for other in history)
            history.append({"epoch": epoch + 1, "loss": loss, "validation": validation, "quality": quality})
            checkpoint.save(history, is_best)
    if training.select_epoch == "best":
        checkpoint.restore_best()
    return history


def _epoch(
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    train: Split,
    batches: list[np.ndarray],
    training: ClassifierTraining,
    epoch: int,
    progress: Bar,
) -> float:
    """One pass over the training split; the mean of its losses."""
    steps, losses = training.epochs * len(batches), []
    warmup = max(1, round(steps * training.warmup_share))
    for step, batch in enumerate(batches, start=epoch * len(batches)):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
        raw = model.raw(*pad([train.ids[place] for place in batch], model.pad_id, model.device))
        loss = sum(model.heads[name].loss_of(raw[name], target.rows(batch)) for name, target in train.targets.items())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_((p for group in optimizer.param_groups for p in group["params"]), training.clip)
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise TrellisError(
                f"the loss of step {step + 1} is {losses[-1]}; lower training.learning_rate or head_learning_rate of the "
                f"classifier"
            )
        progress.advance(note=f"loss {losses[-1]:.3f}")
    return float(np.mean(losses))


def _freeze(encoder: nn.Module, trained_layers: int | None) -> None:
    """Leaves the last `trained_layers` layers to learn; the embeddings learn only with the whole encoder."""
    if trained_layers is None:
        return
    encoder.requires_grad_(False)
    layers = next(part for part in encoder.modules() if isinstance(part, nn.ModuleList))
    for layer in list(layers)[len(layers) - trained_layers :]:
        layer.requires_grad_(True)
