"""Duplicates, contamination and the rule of selection."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from trellis.experiment.section import Section


class Duplicates(Section):
    """MinHash over word n-grams, banded LSH; candidates are verified by their signatures' estimated Jaccard."""

    ngram: PositiveInt = 5
    bands: PositiveInt = 14
    rows: PositiveInt = 8
    similarity: float = Field(default=0.7, gt=0, le=1)


class Decontamination(Section):
    """A document is set aside when word n-grams of one evaluation text cover at least `coverage` of that text."""

    ngram: PositiveInt = 13
    coverage: float = Field(default=0.5, gt=0, le=1)


Topic = Literal[
    "mathematics_statistics",
    "computer_science_software_engineering",
    "machine_learning_ai",
    "physical_sciences",
    "life_sciences_biology",
    "medicine_health",
    "engineering_technology",
    "business_economics",
    "law_government",
    "social_sciences",
    "history_geography",
    "philosophy_ethics",
    "education_pedagogy",
    "language_writing",
    "arts_humanities",
    "environmental_science_energy",
    "personal_finance_practical_life",
]


class Curation(Section):
    """The `curated` rule: documents under a floor or without a score are set aside, the rest taken by falling value.
    value = relevance_weight * relevance + complexity_weight * complexity + quality_weight * quality, each as quantiles
    of the source in 0..1; relevance is the highest score among `relevance_topics`, quality counts in sources that have
    it throughout.
    Floors are in the scores' own units: a sigmoid in 0..1, a level in 1..5."""

    relevance_topics: list[Topic] = Field(min_length=1)
    relevance_weight: float = Field(default=0.5, ge=0)
    complexity_weight: float = Field(default=0.5, ge=0)
    quality_weight: float = Field(default=0.0, ge=0)
    relevance_floor: float = Field(default=0.0, ge=0, le=1)
    complexity_floor: float = Field(default=0.0, ge=0)


class Filter(Section):
    """`validation_share` of the documents is held out by hash before any selection, the same ones for every mixture."""

    duplicates: Duplicates = Duplicates()
    decontamination: Decontamination = Decontamination()
    curation: Curation
    validation_share: float = Field(default=0.01, gt=0, lt=0.5)
    source_priority: list[str] = []
    seed: NonNegativeInt = 42
