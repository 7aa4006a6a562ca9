"""How near-duplicates are recognised."""

from typing import Literal

from pydantic import Field, PositiveInt

from trellis.experiment.section import Section


class Signature(Section):
    """MinHash (Broder, 1997) over n-grams of words, or over `ngram` consecutive lines, stripped, empty ones left out.
    `group_by: schema` leaves the SCHEMA block of a text-to-SQL document out of its n-grams and compares the document
    only with others of the same schema. Each of `bands` x `rows` components keeps 64 // `rows` bits."""

    shingle: Literal["words", "lines"] = "words"
    ngram: PositiveInt = 5
    group_by: Literal["schema"] | None = None
    bands: PositiveInt = 14
    rows: int = Field(default=8, ge=1, le=32)


class Override(Section):
    """What differs for one source; None is what holds for all."""

    shingle: Literal["words", "lines"] | None = None
    ngram: PositiveInt | None = None
    group_by: Literal["schema"] | None = None
    bands: PositiveInt | None = None
    rows: int | None = Field(default=None, ge=1, le=32)


class Duplicates(Signature):
    """Documents that share a band are candidates (FineWeb's 5-grams in 14 x 8); `similarity` is the estimated Jaccard
    similarity from which a candidate is a near-duplicate, `verify: false` takes every candidate. The original study's
    way is `{ngram: 13, bands: 16, rows: 8, verify: false}` with `{shingle: lines, ngram: 5}` for code.
    Sources of different signatures (`per_source`) are not compared with each other.
    `near_contaminated`: near-duplicates of a contaminated document leave with it (`remove`) or may survive it (`keep`).
    """

    similarity: float = Field(default=0.7, gt=0, le=1)
    verify: bool = True
    near_contaminated: Literal["remove", "keep"] = "remove"
    per_source: dict[str, Override] = {}

    def signature_of(self, source: str) -> Signature:
        """The signature of a source's documents."""
        general = {key: getattr(self, key) for key in Signature.model_fields}
        special = self.per_source.get(source, Override()).model_dump(exclude_none=True)
        return Signature.model_validate({**general, **special})
