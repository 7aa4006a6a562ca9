"""Rubrics: what is asked of a document, on which scale, and how it is answered without a labeller.

A rubric is a versioned YAML file in `rubrics/`. Scales: `multi_label` (a set of booleans) and `ordinal` (one level).
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, PositiveInt, TypeAdapter

from trellis.experiment.section import Section

DATA_FILES = ("rubrics/topics.yaml", "rubrics/complexity.yaml", "rubrics/quality.yaml")


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
    heuristic: Keywords
    labels: list[Label]
    real: RealLabels

    @property
    def names(self) -> list[str]:
        return [label.name for label in self.labels]


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
    """A level in a document's meta, under `key`."""

    key: str


class Ordinal(Section):
    """A rubric whose answer is a level; without a heuristic only real levels are known."""

    id: str
    version: PositiveInt
    scale: Literal["ordinal"]
    levels: dict[int, str]
    heuristic: Cues | None = None
    real: RealLevel | None = None


Rubric = Annotated[MultiLabel | Ordinal, Field(discriminator="scale")]


def load_rubric(name: str) -> Rubric:
    """The rubric of `rubrics/<name>.yaml`."""
    text = (Path(__file__).parent / "rubrics" / f"{name}.yaml").read_text(encoding="utf-8")
    return TypeAdapter(Rubric).validate_python(yaml.safe_load(text))
