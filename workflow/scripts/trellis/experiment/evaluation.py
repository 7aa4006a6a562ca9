"""Schemas, suites, generation and statistics of the evaluation."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from trellis.experiment.repository import OnHub
from trellis.experiment.section import Section

Stratum = Literal["flat", "nested", "arrays", "optional", "conditional", "adversarial"]
Mode = Literal["free", "constrained"]


class SchemaPool(Section):
    """Real property names and types from the wheels of these packages, put together into `training` and `held_out`
    schemas of `properties` [fewest, most] with names of at most `longest_name` characters; names of the held-out side
    never occur on the training side, and of the training side at most `training_names` are used. The strata of a side are
    taken in turn; what only the held-out side has is a feature that fine-tuning never showed."""

    packages: list[str] = Field(min_length=1)
    seed: NonNegativeInt = 42
    training: PositiveInt
    held_out: PositiveInt
    training_names: PositiveInt
    longest_name: PositiveInt = 20
    properties: tuple[PositiveInt, PositiveInt] = Field(strict=False)
    training_strata: list[Stratum] = Field(default=["flat"], min_length=1)
    held_out_strata: list[Stratum] = Field(default=["flat"], min_length=1)


class SchemaSuite(Section):
    """Schema-to-JSON items: `seen` with schemas of the SFT set (new values), `unseen` with held-out schemas."""

    kind: Literal["schema"]
    seen: PositiveInt
    unseen: PositiveInt
    seed: NonNegativeInt = 42


class FunctionCallingSuite(Section):
    """BFCL's single-turn items, from its wheel, asked and answered in our JSON protocol: the first `items` of each
    category that fit the context (all, where None), in the order of a seeded hash."""

    kind: Literal["function_calling"]
    package: str = "bfcl-eval"
    items: PositiveInt | None = None
    seed: NonNegativeInt = 42


class WheelSchemas(Section):
    """Members of a wheel that are JSON Schemas."""

    kind: Literal["wheel"]
    package: str
    members: list[str] = Field(min_length=1)


class HubSchemas(OnHub):
    """Files of a dataset repository that hold JSON Schemas, a file or a row each."""

    kind: Literal["hub"]
    files: list[str] = Field(min_length=1)


class JsonSchemaSuite(Section):
    """Real schemas, any valid instance of which is an answer: `items` of those that fit the context and that no constant
    satisfies, as evenly over tiers of size as there are."""

    kind: Literal["json_schema"]
    origins: list[Annotated[WheelSchemas | HubSchemas, Field(discriminator="kind")]] = Field(min_length=1)
    items: PositiveInt
    seed: NonNegativeInt = 42


class ExtractionSuite(Section):
    """Records to be found in prose, all of them, as an array of objects."""

    kind: Literal["extraction"]
    items: PositiveInt
    seed: NonNegativeInt = 42


class TextToSqlSuite(Section):
    """Questions about small databases, answered by SQL that is executed."""

    kind: Literal["text_to_sql"]
    items: PositiveInt
    seed: NonNegativeInt = 42


class FormatSuite(Section):
    """Values to be written in formats that fine-tuning never showed, the formats in turn: sft_data leaves out every
    conversation that names one of them."""

    kind: Literal["format"]
    formats: list[Literal["yaml", "toml", "xml", "csv"]] = Field(default=["yaml", "toml", "xml", "csv"], min_length=1)
    items: PositiveInt
    seed: NonNegativeInt = 42


Suite = Annotated[
    SchemaSuite | FunctionCallingSuite | JsonSchemaSuite | ExtractionSuite | TextToSqlSuite | FormatSuite,
    Field(discriminator="kind"),
]


class KnowledgeTask(OnHub):
    """The dataset repository of a task, and the files of it that are read."""

    files: list[str] = Field(min_length=1)


class Knowledge(Section):
    """What a model knows, as a covariate: tasks of lm-eval by their names there, with `shots` examples in the prompt, over
    the first `limit` items of each (all, where None)."""

    tasks: dict[str, KnowledgeTask] = Field(min_length=1)
    shots: NonNegativeInt = 0
    limit: PositiveInt | None = None
    batch: PositiveInt = 16


class Generation(Section):
    """Greedy decoding; the batch size is part of the result, because batching moves logits in their last digits. `shots`
    examples stand before the question where a base model answers."""

    max_new_tokens: PositiveInt
    batch: PositiveInt = 64
    modes: list[Mode] = Field(default=["free", "constrained"], min_length=1)
    shots: PositiveInt = 2


class Statistics(Section):
    """Cluster bootstrap over schemas: `resamples` draws, two-sided `confidence` intervals; `power` of the minimum
    detectable effect."""

    resamples: PositiveInt = 10_000
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    power: float = Field(default=0.8, gt=0, lt=1)
    seed: NonNegativeInt = 42


class Distance(Section):
    """How near an unseen schema may be to those of fine-tuning (Jaccard similarity of (path, type) sets): `far` below the
    first bound, `near` from there to the second, and beyond it a leak, as is a schema that fine-tuning has. `component` is
    the similarity at which two schemas belong together when training examples are removed for evaluation's sake."""

    near: float = Field(default=0.3, gt=0, lt=1)
    leak: float = Field(default=0.7, gt=0, le=1)
    component: float = Field(default=0.5, gt=0, le=1)


class Evaluation(Section):
    """What is measured on every model. `text_share` of the tasks of the pool's schemas, in training and evaluation alike,
    state the values to be found; the others ask for any instance of the schema."""

    schemas: SchemaPool
    text_share: float = Field(default=0.5, ge=0, le=1)
    suites: dict[str, Suite] = Field(min_length=1)
    base_models: bool = True
    distance: Distance = Distance()
    generation: Generation
    knowledge: Knowledge | None = None
    statistics: Statistics = Statistics()
