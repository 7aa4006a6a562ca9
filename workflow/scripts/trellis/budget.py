"""From a token budget to whole rows: what selection must find is what packing will grant."""

from trellis.experiment.mixture import Mixture


def rows_per_source(mixture: Mixture, context: int) -> dict[str, int]:
    """How many rows of `context` tokens each source fills: `mixture.tokens // context` rows in all, shared out by largest
    remainder (ties to the source that stands first), so that no source is off by a whole row."""
    total = mixture.tokens // context
    exact = {name: share.tokens * total / mixture.tokens for name, share in mixture.sources.items()}
    rows = {name: int(quota) for name, quota in exact.items()}
    by_remainder = sorted(exact, key=lambda name: rows[name] - exact[name])
    for name in by_remainder[: total - sum(rows.values())]:
        rows[name] += 1
    return rows


def tokens_needed(rows: int, context: int) -> int:
    """The tokens of `rows` rows: neighbours share the token that is one row's last target and the next one's first input."""
    return rows * context + 1 if rows else 0
