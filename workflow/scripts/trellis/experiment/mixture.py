"""Mixtures: how many tokens of each source, and by which rule its documents are chosen."""

from typing import Literal

from pydantic import Field, PositiveInt

from trellis.experiment.section import Section
from trellis.experiment.selection import RANDOM

MOST_REPEATS = 10


class Share(Section):
    """One source's part of a mixture; `select` is a rule of `filter.selection` by name, or `random` (by seeded hash).
    `repeat` is how often its selected documents are read: at 4, a quarter of `tokens` is selected and read four times; at
    2.5, half of the documents, by seeded draw, are read a third time; at 0.25, four times as much is selected, of which a
    seeded quarter is read."""

    tokens: PositiveInt
    select: str = RANDOM
    repeat: float = Field(default=1.0, ge=0.25, le=MOST_REPEATS)


class Mixture(Section):
    """A token budget over sources; the shares must sum to `tokens`. A source that is short of its share by at most the
    share `tolerance` of it gives what it has, with a warning; one that is short of more is an error.
    `arm` leaves the rules of all sources nothing but that to go by: an ablation is a copy of a mixture with one line
    more."""

    tokens: PositiveInt
    tolerance: float = Field(default=0.0, ge=0, lt=1)
    arm: Literal["topics_only", "complexity_only", "random"] | None = None
    sources: dict[str, Share] = Field(min_length=1)


def rules_used(mixture: Mixture) -> list[str]:
    """The names of the rules of `filter.selection` that a mixture selects by."""
    return sorted({share.select for share in mixture.sources.values()} - {RANDOM})
