"""When a text gives an evaluation text away."""

from pydantic import Field, PositiveInt

from trellis.experiment.section import Section


class Decontamination(Section):
    """A document gives an evaluation text away when word n-grams of that text cover at least `coverage` of its words
    (a text of fewer than `ngram` words must stand there whole), or when a JSON Schema or tool signature in it is one of
    the evaluation's: the same one, one with a share of at least `schema_similarity` of the same properties, or the same
    structure under other names. A schema counts only if it holds at least `schema_bits` bits of content.
    Documents are also counted under each n-gram size of `sensitivity`.
    `remove: false` finds and counts them, and lets them stay, as the original study did."""

    ngram: PositiveInt = 13
    coverage: float = Field(default=0.5, gt=0, le=1)
    sensitivity: list[PositiveInt] = [8, 10, 13]
    schema_bits: PositiveInt = 32
    schema_similarity: float = Field(default=0.8, gt=0, le=1)
    remove: bool = True
