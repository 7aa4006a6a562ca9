"""Learning rates as pure functions of the step, so that a resumed run cannot be in another place of its schedule."""

import math

from trellis.experiment.pretraining import Pretraining


def learning_rate(step: int, steps: int, recipe: Pretraining) -> float:
    """The rate of step `step` (from 0) of `steps`: linear warm-up, then a cosine to `min_lr`, or the highest rate until a
    linear decay over the last `decay_share` of the steps."""
    if step < recipe.warmup_steps:
        return recipe.max_lr * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "cosine":
        progress = (step - recipe.warmup_steps) / max(steps - 1 - recipe.warmup_steps, 1)
        return recipe.min_lr + (recipe.max_lr - recipe.min_lr) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    decay_steps = max(round(steps * recipe.decay_share), 1)
    left = (steps - step) / decay_steps
    return recipe.min_lr + (recipe.max_lr - recipe.min_lr) * min(left, 1.0)
