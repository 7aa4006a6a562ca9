"""Supervised fine-tuning: the same examples, order and hyperparameters for every model."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

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
    checkpoint_minutes: Runtime[PositiveFloat] = 10.0

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, seeds: list[int]) -> list[int]:
        twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
        if twice is not None:
            raise ValueError(
                f"seed {twice} stands in the list again, as one run that counts twice; name each seed once"
            )
        return seeds


Converter = Literal["apigen", "glaive", "hermes", "messages", "toolace"]
# The tokens that a ChatML turn begins and ends with; they take free rows of the embedding.
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")


class SftHubSet(OnHub):
    """A set of conversations on the hub, pinned by the lock's `repos`: a seeded sample of `examples` rows of `files`.
    `converter` names the module of `trellis.sft.converters` that turns a row into messages."""

    files: list[str] = Field(min_length=1)
    converter: Converter
    examples: PositiveInt


class SftMix(Section):
    """What is fine-tuned on: `schema_examples` generated from the training side of the schema split, and sets on the hub."""

    schema_examples: PositiveInt
    hub: list[SftHubSet] = []

    @model_validator(mode="after")
    def _each_set_once(self) -> "SftMix":
        repos = [each.repo for each in self.hub]
        if twice := next((repo for repo in repos if repos.count(repo) > 1), None):
            raise ValueError(f"hub names {twice} twice; name all of its `files` in one set")
        return self


class Sft(Section):
    """`mix` is the one of `mixes` that all models are fine-tuned on. `template` spells turns as plain text with role lines,
    which needs no new token, or as ChatML with its special tokens, whose new rows begin at the mean of the embedding."""

    mixes: dict[str, SftMix] = Field(min_length=1)
    mix: str
    template: Literal["plain", "chatml"] = "plain"
    data_seed: NonNegativeInt = 42
    training: SftTraining

    @property
    def chosen(self) -> SftMix:
        """The mix that is fine-tuned on."""
        return self.mixes[self.mix]
