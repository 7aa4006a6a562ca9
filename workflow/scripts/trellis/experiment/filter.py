"""Duplicates, contamination and the rule of selection."""

from pydantic import Field, NonNegativeInt, PositiveInt

from trellis.experiment.section import Section


class Duplicates(Section):
    """MinHash over word n-grams, banded LSH; candidates are verified by the signatures' estimated Jaccard similarity."""

    ngram: PositiveInt = 5
    bands: PositiveInt = 14
    rows: PositiveInt = 8
    similarity: float = Field(default=0.7, gt=0, le=1)


class Decontamination(Section):
    """A document is set aside when word n-grams of one evaluation text cover at least `coverage` of that text."""

    ngram: PositiveInt = 13
    coverage: float = Field(default=0.5, gt=0, le=1)


class Curation(Section):
    """The `curated` rule: documents under a floor are set aside, the rest taken by falling value, where
    value = relevance_weight * relevance + complexity_weight * complexity, both as quantiles of the source in 0..1."""

    relevance_topics: list[str] = Field(min_length=1)
    relevance_weight: float = Field(default=0.5, ge=0)
    complexity_weight: float = Field(default=0.5, ge=0)


class Filter(Section):
    """`validation_share` of the documents is held out by hash before any selection, the same ones for every mixture."""

    duplicates: Duplicates = Duplicates()
    decontamination: Decontamination = Decontamination()
    curation: Curation
    validation_share: float = Field(default=0.01, gt=0, lt=0.5)
    source_priority: list[str] = []
    seed: NonNegativeInt = 42
