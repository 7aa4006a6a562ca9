"""Rubrics: what is asked of a document, on which scale, how a model is asked, and how it is answered without one.

A rubric is a versioned YAML file in `rubrics/`. Scales: `multi_label` (a set of booleans), `ordinal` (one level) and
`classes` (one of several, without order).
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, PositiveInt, TypeAdapter

from trellis.experiment.section import Section

DATA_FILES = (
    "rubrics/topics.yaml",
    "rubrics/complexity.yaml",
    "rubrics/code_quality.yaml",
    "rubrics/structured_data.yaml",
    "rubrics/content_type.yaml",
)


class Prompt(Section):
    """What a model reads: `instructions` ({scale}: the scale in words), then the document ({text}, between lines with a
    {mark} that it cannot know; {meta.KEY}: what its source says of it)."""

    instructions: str
    document: str


class Label(Section):
    """One class of a multi-label scale; `keywords` are words or phrases, a `*` stands for any letters or words."""

    name: str
    about: str
    keywords: list[str] = Field(min_length=1)


class Keywords(Section):
    """The heuristic that holds a label when `at_least` different keywords of it occur."""

    name: str
    at_least: PositiveInt


class Filed(Section):
    """What a source's own class says: `sure` labels hold, `open` ones stay unlabelled, all others do not hold."""

    sure: list[str]
    open: list[str]


class RealLabels(Section):
    """Labels in a document's meta, under `key`; values that are not listed say nothing."""

    key: str
    values: dict[str, Filed]


class MultiLabel(Section):
    """A rubric whose answer is a set of labels."""

    id: str
    version: PositiveInt
    scale: Literal["multi_label"]
    prompt: Prompt
    heuristic: Keywords
    labels: list[Label]
    real: RealLabels | None = None

    @property
    def names(self) -> list[str]:
        return [label.name for label in self.labels]

    @property
    def meanings(self) -> dict[str, str]:
        return {label.name: label.about for label in self.labels}


class Condition(Section):
    """Met when the cues of the kinds `of` occur `at_least` times together."""

    of: list[str]
    at_least: PositiveInt


class Cues(Section):
    """The heuristic that counts cues by kind; the highest level holds whose conditions are all met, else the lowest."""

    name: str
    cues: dict[str, list[str]]
    needs: dict[int, list[Condition]]


class RealLevel(Section):
    """A whole number in a document's meta, under `key`, and the level that each stands for; others say nothing."""

    key: str
    levels: dict[int, int]


class Ordinal(Section):
    """A rubric whose answer is a level."""

    id: str
    version: PositiveInt
    scale: Literal["ordinal"]
    prompt: Prompt
    heuristic: Cues
    levels: dict[int, str]
    real: RealLevel | None = None

    @property
    def names(self) -> list[str]:
        return [str(level) for level in sorted(self.levels)]

    @property
    def meanings(self) -> dict[str, str]:
        return {str(level): self.levels[level] for level in sorted(self.levels)}


class Kind(Section):
    """One class; the heuristic takes the first one of which `at_least` cues occur."""

    name: str
    about: str
    cues: list[str] = []
    at_least: PositiveInt = 1


class FirstMatch(Section):
    """The heuristic that tries the classes in the `order` given and falls back on `otherwise`."""

    name: str
    order: list[str]
    otherwise: str


class Classes(Section):
    """A rubric whose answer is one class."""

    id: str
    version: PositiveInt
    scale: Literal["classes"]
    prompt: Prompt
    heuristic: FirstMatch
    classes: list[Kind]

    @property
    def names(self) -> list[str]:
        return [kind.name for kind in self.classes]

    @property
    def meanings(self) -> dict[str, str]:
        return {kind.name: kind.about for kind in self.classes}


Rubric = Annotated[MultiLabel | Ordinal | Classes, Field(discriminator="scale")]


def load_rubric(name: str) -> Rubric:
    """The rubric of `rubrics/<name>.yaml`."""
    text = (Path(__file__).parent / "rubrics" / f"{name}.yaml").read_text(encoding="utf-8")
    return TypeAdapter(Rubric).validate_python(yaml.safe_load(text))
