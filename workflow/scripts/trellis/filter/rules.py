"""The rules of selection: in which order a source's documents are taken, until its tokens are enough."""

import numpy as np

from trellis.experiment.filter import Curation
from trellis.filter.pool import Pool, hashed


def below_floors(pool: Pool, places: np.ndarray, curation: Curation) -> np.ndarray:
    """bool [places]; a document without a score is under every floor."""
    relevant = pool.relevance[places] >= curation.relevance_floor
    complex_enough = pool.complexity[places] >= curation.complexity_floor
    return ~(relevant & complex_enough)


def random_order(pool: Pool, places: np.ndarray, seed: int) -> np.ndarray:
    """The places in the order of a seeded hash."""
    return places[np.argsort(hashed(pool.doc_id[places], seed, "selection"), kind="stable")]


def curated_order(pool: Pool, places: np.ndarray, curation: Curation, seed: int) -> np.ndarray:
    """The places by falling value, the weighted mean of the scores' quantiles; equals in random order. Quality counts
    where every document at `places` has it."""
    scores = [(curation.relevance_weight, pool.relevance), (curation.complexity_weight, pool.complexity)]
    if not np.isnan(pool.quality[places]).any():
        scores.append((curation.quality_weight, pool.quality))
    value = sum(weight * quantiles(score[places]) for weight, score in scores)
    return places[np.lexsort((hashed(pool.doc_id[places], seed, "selection"), -value))]


def take(pool: Pool, order: np.ndarray, needed: int) -> np.ndarray:
    """The first documents of `order` that hold `needed` tokens together; all of them where they hold fewer."""
    total = np.cumsum(pool.tokens[order])
    return order[: np.searchsorted(total, needed) + 1] if needed else order[:0]


def quantiles(values: np.ndarray) -> np.ndarray:
    """The share of values below each value, equal values counted half: 0..1, free of the scores' own scale."""
    ranked = np.sort(values)
    low, high = np.searchsorted(ranked, values), np.searchsorted(ranked, values, side="right")
    return (low + high) / (2 * max(len(values), 1))
