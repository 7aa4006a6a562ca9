"""An estimate with all that makes it uncertain: which schemas were asked, and which seeds were drawn.

A quantity is a sum of signed terms, each the scores of one model [seeds x items]: a model's mean has one term, a difference
of two models two. Its variance is that of a two-way design, schemas crossed with seeds (Cameron, Gelbach and Miller 2011):

    V = V_items - V_overlap + sum of s^2 / k over the terms, and never less than V_items

V_items comes from the cluster bootstrap of each item's mean over the seeds. s^2 is the variance of the seeds' means, k
their number; seeds are too few to be bootstrapped. Both hold the luck of single schemas with single seeds, V_overlap, which
is therefore taken off once: without that, 95 % intervals of models whose seeds differ by such luck alone cover 99 %.
Intervals are Student's, with Satterthwaite's (1946) degrees of freedom: over simulated studies of few schemas they cover
more often than the bootstrap's percentile and BCa intervals, and as often over many (`benchmarks/intervals.py`). Where
neither schemas nor seeds have any luck of their own with a model, those of 95 % cover 97 to 98 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtrinc, stdtr, stdtrit

from trellis.evaluate.bootstrap import cluster_sums, resampled_means
from trellis.experiment.evaluation import Statistics

# (sign, scores [seeds x items, NaN where an item has none])
Term = tuple[int, np.ndarray]
# What arithmetic leaves of a variance of zero.
NOTHING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """`value` with its standard errors, the roots of V_items, of each term's s^2 / k (None of a single seed), of V_overlap
    and of V, which has `df` degrees of freedom. Where a term has a single seed, V is V_items."""

    value: float
    items_se: float
    seed_se: tuple[float | None, ...]
    overlap_se: float
    total_se: float
    df: float
    n_items: int
    n_clusters: int

    def interval(self, confidence: float) -> tuple[float, float]:
        """Of all that is uncertain."""
        return _around(self.value, self.total_se, self.df, confidence)

    def items_interval(self, confidence: float) -> tuple[float, float]:
        """Of the schemas alone, as if the seeds were all that there are."""
        return _around(self.value, self.items_se, max(self.n_clusters - 1, 1), confidence)

    def rate_interval(self, confidence: float) -> tuple[float, float]:
        """Wilson's interval of a mean of scores from 0 to 1, with the effective number of items, p (1 - p) / V, in place of
        their number (Dean and Pagano 2015): near 0 and 1 it covers where the bootstrap of an all-equal sample is a point."""
        spread = self.value * (1 - self.value)
        known = self.total_se > NOTHING and spread > NOTHING
        n = spread / self.total_se**2 if known else self.n_clusters
        q = stdtrit(self.df, (1 + confidence) / 2) ** 2 / n
        half = np.sqrt(q * max(spread, 0) + q**2 / 4) / (1 + q)
        centre = (self.value + q / 2) / (1 + q)
        return float(max(centre - half, 0)), float(min(centre + half, 1))

    @property
    def p(self) -> float:
        """Two-sided, of a value of zero."""
        return float(2 * stdtr(self.df, -abs(self.value) / self.total_se))

    def detectable(self, confidence: float, power: float) -> float:
        """The minimum detectable effect: the true value that such a study finds with this power. A multiple of the standard
        error: the noncentrality at which a t-test has the power, 2.80 for 80 % at 95 % and many degrees of freedom (Bloom
        1995, Evaluation Review 19)."""
        return float(nctdtrinc(self.df, 1 - power, stdtrit(self.df, (1 + confidence) / 2)) * self.total_se)

    def equivalent(self, confidence: float, margin: float) -> bool:
        """Whether two one-sided tests (Schuirmann 1987) place the value within the margin, each at 1 - confidence."""
        low, high = self.interval(2 * confidence - 1)
        return bool(-margin < low and high < margin)


def estimates(
    quantities: Sequence[tuple[Term, ...]], clusters: np.ndarray, settings: Statistics
) -> list[Estimate | None]:
    """An estimate for each quantity, None of one that no item has; all over the same items, in `clusters`, with the same
    draws."""
    index = np.unique(clusters, return_inverse=True)[1]
    columns = [sum(sign * values.mean(0) for sign, values in terms) for terms in quantities]
    there = [at for at, column in enumerate(columns) if not np.isnan(column).all()]
    found: list[Estimate | None] = [None] * len(quantities)
    if there:
        together = np.stack([columns[at] for at in there], axis=1)
        draws = resampled_means(together, index, settings.resamples, np.random.default_rng(settings.seed))
        for at, variance in zip(there, np.nanvar(draws, axis=0), strict=True):
            found[at] = _estimate(quantities[at], columns[at], float(variance), index)
    return found


def _estimate(terms: tuple[Term, ...], column: np.ndarray, variance: float, index: np.ndarray) -> Estimate:
    has = ~np.isnan(column)
    index = np.unique(index[has], return_inverse=True)[1]
    value, clusters = float(column[has].mean()), int(index.max()) + 1
    free = max(clusters - 1, 1)
    # The bootstrap divides by the number of clusters, an unbiased variance by one less.
    of_items = variance * clusters / free
    if of_items < NOTHING**2:
        of_items = _unseen_variance(value, clusters)
    seeds = [_seed_variance(values[:, has], index) if len(values) > 1 else None for _, values in terms]
    total, df, overlap = of_items, float(free), 0.0
    if None not in seeds:
        overlap = sum(both for _, both in seeds)
        parts = [(free, max(of_items - overlap, 0.0))]
        parts += [(len(values) - 1, between) for (_, values), (between, _) in zip(terms, seeds, strict=True)]
        if (crossed := sum(variance for _, variance in parts)) > of_items:
            total, df = crossed, crossed**2 / sum(variance**2 / degrees for degrees, variance in parts)
    return Estimate(
        value=value,
        items_se=of_items**0.5,
        seed_se=tuple(None if found is None else found[0] ** 0.5 for found in seeds),
        overlap_se=overlap**0.5,
        total_se=total**0.5,
        df=df,
        n_items=int(has.sum()),
        n_clusters=clusters,
    )


def _around(value: float, se: float, df: float, confidence: float) -> tuple[float, float]:
    half = stdtrit(df, (1 + confidence) / 2) * se
    return float(value - half), float(value + half)


def _seed_variance(values: np.ndarray, index: np.ndarray) -> tuple[float, float]:
    """(s^2 / k, how much of it is the luck of single clusters with single seeds) of `values` [k seeds x items]."""
    k, n = values.shape
    means, clusters = values.mean(1), index.max() + 1
    residual = values - values.mean(0) - (means - means.mean())[:, None]
    both = (cluster_sums(residual.T, index) ** 2).sum() / (n**2 * (k - 1) * k)
    return float(means.var(ddof=1) / k), float(both * clusters / max(clusters - 1, 1))


def _unseen_variance(value: float, clusters: int) -> float:
    """The variance of a difference of rates that is the same in every cluster: that all are alike makes nothing certain.
    Bonett and Price 2012 (J. Educ. Behav. Stat. 37) add one cluster of either discordance."""
    n = clusters + 2
    above, below = ((clusters * min(max(share, 0.0), 1.0) + 1) / n for share in (value, -value))
    return float((above + below - (above - below) ** 2) / n)
