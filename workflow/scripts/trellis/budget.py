"""From a token budget to whole rows, and to the documents that fill them: what selection must find is what packing grants."""

import math
from fractions import Fraction

from trellis.experiment.mixture import Mixture


def rows_per_source(mixture: Mixture, context: int) -> dict[str, int]:
    """How many rows of `context` tokens each source fills: `mixture.tokens // context` rows in all, shared out by largest
    remainder (ties to the source that stands first), so that no source is off by a whole row."""
    return largest_remainder(mixture.tokens // context, {name: share.tokens for name, share in mixture.sources.items()})


def largest_remainder(total: int, shares: dict[str, int]) -> dict[str, int]:
    """`total` in whole numbers, in proportion to the shares; ties go to the share that stands first."""
    whole = sum(shares.values())
    given = {name: total * share // whole for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: -(total * shares[name] % whole))
    for name in by_remainder[: total - sum(given.values())]:
        given[name] += 1
    return given


def tokens_needed(rows: int, context: int) -> int:
    """The tokens of `rows` rows: neighbours share the token that is one row's last target and the next one's first input."""
    return rows * context + 1 if rows else 0


def rows_within(tokens: int, context: int) -> int:
    """The whole rows that `tokens` tokens fill."""
    return max(tokens - 1, 0) // context


def to_select(tokens: int, repeat: float) -> int:
    """The tokens of different documents that, read `repeat` times, are `tokens`."""
    return math.ceil(tokens / _exact(repeat))


def to_read(selected: int, repeat: float) -> int:
    """The tokens that documents of `selected` tokens give, read `repeat` times."""
    return math.floor(selected * _exact(repeat))


def _exact(repeat: float) -> Fraction:
    """The number as it is written in the config: 2.1, and not the binary fraction beside it."""
    return Fraction(str(repeat))
