"""Supervised fine-tuning: the same examples, order and hyperparameters for every model."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from trellis.experiment.repository import OnHub
from trellis.experiment.section import Runtime, Section


class SftTraining(Section):
    """TRL's SFTTrainer on assistant tokens only; `max_length` in tokens may not exceed the pretraining context."""

    epochs: PositiveInt
    batch: PositiveInt
    max_length: PositiveInt
    learning_rate: PositiveFloat
    schedule: Literal["cosine", "warmup_stable_decay"] = "cosine"
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    decay_share: float = Field(default=0.2, ge=0, le=1)
    betas: tuple[float, float] = Field(default=(0.9, 0.999), strict=False)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: PositiveFloat = 1.0
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    seeds: list[NonNegativeInt] = Field(min_length=1)
    micro_batch: Runtime[PositiveInt] = 8


class SftHubSet(OnHub):
    """A set of conversations on the hub, pinned by the lock's `repos`: a seeded sample of `examples` rows of `files`.
    `converter` names the module of `trellis.sft.converters` that turns a row into messages."""

    files: list[str] = Field(min_length=1)
    converter: Literal["apigen", "hermes", "messages", "toolace"]
    examples: PositiveInt


class Sft(Section):
    """`schema_examples` are generated from the training side of the schema split; `hub` lists further sets."""

    schema_examples: PositiveInt
    hub: list[SftHubSet] = []
    data_seed: NonNegativeInt = 42
    training: SftTraining

    @model_validator(mode="after")
    def _each_set_once(self) -> "Sft":
        repos = [each.repo for each in self.hub]
        if twice := next((repo for repo in repos if repos.count(repo) > 1), None):
            raise ValueError(f"hub names {twice} twice; name all of its `files` in one set")
        return self
