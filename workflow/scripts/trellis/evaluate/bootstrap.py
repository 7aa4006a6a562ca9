"""The cluster bootstrap: items with the same schema share their luck, so schemas are drawn, not items.

Source: Miller 2024, "Adding Error Bars to Evals"; Field and Welsh 2007 (J. R. Statist. Soc. B 69) for drawing clusters.
"""

import numpy as np

# Draws computed at a time: bounds memory at DRAWS x clusters numbers.
DRAWS = 250


def cluster_sums(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Sums [clusters x columns] of `values` [items x columns] by the items' cluster numbers `index`."""
    sums = np.zeros((index.max() + 1, values.shape[1]))
    np.add.at(sums, index, values)
    return sums


def resampled_means(values: np.ndarray, index: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means [resamples x columns] of `values` [items x columns, NaN where an item has none] over clusters drawn with
    replacement; NaN where a draw holds no value of a column. The columns share their draws."""
    has = ~np.isnan(values)
    patterns, pattern = np.unique(has, axis=1, return_inverse=True)
    counts = cluster_sums(patterns.astype(float), index)
    sums = cluster_sums(np.where(has, values, 0), index)
    size = len(sums)
    means = np.empty((resamples, values.shape[1]))
    for start in range(0, resamples, DRAWS):
        rows = min(DRAWS, resamples - start)
        drawn = rng.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(float)
        with np.errstate(invalid="ignore"):
            means[start : start + rows] = (weights @ sums) / (weights @ counts)[:, pattern.ravel()]
    return means
