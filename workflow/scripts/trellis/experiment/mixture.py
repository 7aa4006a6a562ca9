"""Mixtures: how many tokens of each source, and by which rule its documents are chosen."""

from typing import Literal

from pydantic import Field, PositiveInt

from trellis.experiment.section import Section


class Share(Section):
    """One source's part of a mixture; `select` is the rule: `random` (by seeded hash) or `curated` (by the scores)."""

    tokens: PositiveInt
    select: Literal["random", "curated"] = "random"


class Mixture(Section):
    """A token budget over sources; the shares must sum to `tokens`. A source that is short of its share by at most the
    share `tolerance` of it gives what it has, with a warning; one that is short of more is an error."""

    tokens: PositiveInt
    tolerance: float = Field(default=0.0, ge=0, lt=1)
    sources: dict[str, Share] = Field(min_length=1)
