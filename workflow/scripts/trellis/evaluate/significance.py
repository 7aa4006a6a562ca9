"""Tests beside the intervals: Holm's correction of a family, and McNemar's exact test as a cross-check."""

import numpy as np
from scipy.stats import binomtest


def holm(p_values: list[float]) -> list[float]:
    """p-values of a family, adjusted so that comparing each with alpha keeps the chance of any false rejection at alpha
    (Holm 1979, Scandinavian Journal of Statistics 6)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = largest
    return adjusted


def mcnemar(treatment: np.ndarray, control: np.ndarray) -> float:
    """Two-sided exact p (McNemar 1947) of right and wrong [seeds x items]: an item is right when most seeds have it right.
    Blind to clusters and to seeds, so smaller than the p of an interval that sees them."""
    first, second = (np.nanmean(values, axis=0) > 0.5 for values in (treatment, control))
    won, lost = int((first & ~second).sum()), int((~first & second).sum())
    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
