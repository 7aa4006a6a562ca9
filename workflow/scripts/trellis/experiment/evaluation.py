"""Schemas, suites, generation and statistics of the evaluation."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from trellis.experiment.section import Section

Metric = Literal["parse", "schema_valid", "exact", "leaf_f1", "key_f1"]


class SchemaPool(Section):
    """Real property names and types from the wheels of these packages, put together into `training` and `held_out`
    schemas of `properties` [fewest, most] with names of at most `longest_name` characters; names of the held-out side
    never occur on the training side, and of the training side at most `training_names` are used."""

    packages: list[str] = Field(min_length=1)
    seed: NonNegativeInt = 42
    training: PositiveInt
    held_out: PositiveInt
    training_names: PositiveInt
    longest_name: PositiveInt = 20
    properties: tuple[PositiveInt, PositiveInt] = Field(strict=False)


class SchemaSuite(Section):
    """Schema-to-JSON items: `seen` with schemas of the SFT set (new values), `unseen` with held-out schemas."""

    kind: Literal["schema"]
    seen: PositiveInt
    unseen: PositiveInt
    seed: NonNegativeInt = 42


class Generation(Section):
    """Greedy decoding; the batch size is part of the result, because batching moves logits in their last digits."""

    max_new_tokens: PositiveInt
    batch: PositiveInt = 64


class Statistics(Section):
    """Cluster bootstrap over schemas: `resamples` draws, two-sided `confidence` intervals."""

    resamples: PositiveInt = 10_000
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    seed: NonNegativeInt = 42


class Headline(Section):
    """The comparison that was chosen before any result: `treatment` minus `control` on one metric of one suite's split."""

    treatment: str
    control: str
    suite: str
    split: Literal["seen", "unseen"]
    metric: Metric


class Evaluation(Section):
    """What is measured on every fine-tuned model. `text_share` of the tasks, in training and evaluation alike, state the
    values to be found; the others ask for any instance of the schema."""

    schemas: SchemaPool
    text_share: float = Field(default=0.5, ge=0, le=1)
    suites: dict[str, SchemaSuite] = Field(min_length=1)
    generation: Generation
    statistics: Statistics = Statistics()
    headline: Headline
