"""Duplicates, contamination and the rule of selection."""

from pydantic import Field, NonNegativeInt

from trellis.experiment.decontamination import Decontamination
from trellis.experiment.duplicates import Duplicates
from trellis.experiment.section import Section
from trellis.experiment.selection import Rule, Topic


class Filter(Section):
    """`validation_share` of the documents is held out by hash before any selection, the same ones for every mixture.
    A document's relevance is the highest of its scores for `relevance_topics`. `selection` names the rules that mixtures
    select by; `random` is always there."""

    duplicates: Duplicates = Duplicates()
    decontamination: Decontamination = Decontamination()
    relevance_topics: list[Topic] = Field(min_length=1)
    selection: dict[str, Rule] = {}
    validation_share: float = Field(default=0.01, gt=0, lt=0.5)
    source_priority: list[str] = []
    seed: NonNegativeInt = 42
