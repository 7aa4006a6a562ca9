"""How the models are pretrained: one recipe for all of them."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from trellis.experiment.section import Runtime, Section


class Pretraining(Section):
    """Batches in tokens; `micro_batch` rows are computed at a time and accumulated, which changes no result beyond
    rounding. Loss in float32; weights in float32 with `precision` autocast.

    `packing` is the order in which documents fill rows: `best_fit` cuts as few of them at a row's end as it can,
    `concatenate` takes them in reading order. With `document_masks` no token attends to another document's.
    `gradient_checkpointing` recomputes everything (`full`), or all but matrix products (`selective`), in the backward pass.
    `compile` is per layer, or the whole model. `deterministic` makes a GPU give the same bits again, for some speed.
    """

    context: PositiveInt
    batch_tokens: PositiveInt
    max_lr: PositiveFloat
    min_lr: NonNegativeFloat
    schedule: Literal["cosine", "warmup_stable_decay"] = "cosine"
    warmup_steps: NonNegativeInt
    decay_share: float = Field(default=0.2, ge=0, le=1)
    betas: tuple[float, float] = Field(default=(0.9, 0.95), strict=False)
    weight_decay: NonNegativeFloat = 0.1
    clip: PositiveFloat = 1.0
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    seed: NonNegativeInt = 0
    validation_interval: PositiveInt = 100
    packing: Literal["best_fit", "concatenate"] = "best_fit"
    document_masks: bool = False
    micro_batch: Runtime[PositiveInt] = 8
    gradient_checkpointing: Runtime[Literal["none", "selective", "full"]] = "none"
    compile: Runtime[Literal["none", "layer", "model"]] = "none"
    deterministic: Runtime[bool] = False
    log_interval: Runtime[PositiveInt] = 10
    checkpoint_minutes: Runtime[PositiveFloat] = 10.0
    tracker: Runtime[Literal["none", "tensorboard", "wandb"]] = "none"
