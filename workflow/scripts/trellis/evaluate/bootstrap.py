"""The cluster bootstrap: items with the same schema share their luck, so schemas are drawn, not items.

Source: Miller 2024, "Adding Error Bars to Evals"; percentile intervals after Efron and Tibshirani 1993.
"""

import numpy as np

# Draws computed at a time: bounds memory at DRAWS x clusters numbers.
DRAWS = 500


def cluster_sums(values: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sums, counts), each clusters x columns, of `values` (items x columns, NaN where an item has none)."""
    _, index = np.unique(clusters, return_inverse=True)
    shape = (index.max() + 1, values.shape[1])
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, index, np.nan_to_num(values))
    np.add.at(counts, index, ~np.isnan(values))
    return sums, counts


def resampled_means(values: np.ndarray, clusters: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means (resamples x columns) over clusters drawn with replacement; NaN where a draw holds no value of a column.

    The columns share their draws, so differences between them are paired.
    """
    sums, counts = cluster_sums(values, clusters)
    size = len(sums)
    means = []
    for start in range(0, resamples, DRAWS):
        weights = rng.multinomial(size, np.full(size, 1 / size), size=min(DRAWS, resamples - start)).astype(float)
        with np.errstate(invalid="ignore"):
            means.append((weights @ sums) / (weights @ counts))
    return np.concatenate(means)


def interval(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """The percentile interval of one column of resampled values."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def p_value(differences: np.ndarray) -> float:
    """Two-sided p for "no difference": how far into the tail of the resampled differences zero lies, never quite 0."""
    tail = min((differences <= 0).sum(), (differences >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(differences) + 1)))
