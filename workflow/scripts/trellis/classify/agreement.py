"""How far labellings of the same documents agree, chance taken off.

Krippendorff's alpha (Computing Krippendorff's Alpha-Reliability, 2011) for any number of labellings with gaps, Cohen's
kappa for two labellers (1960; 1968 for the weighted form), and the mean absolute difference of two labellings: no
classifier can be expected to come closer to the labels than they come to each other.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Any

from trellis.classify.answers import Rubric, Value
from trellis.classify.rubric import MultiLabel, Ordinal

Unit = Sequence[float]
DECIMALS = 4


def agreement(rubric: Rubric, units: list[list[Value]], two_labellers: bool) -> dict[str, Any] | None:
    """By document its labellings, nulls included, in the order of the labellers. Kappa needs `two_labellers` who can be
    told apart; a figure is None where chance alone would agree in everything. None when no document has two labels."""
    if isinstance(rubric, MultiLabel):
        return _by_label(rubric.names, units, two_labellers)
    known = [[value for value in unit if value is not None] for unit in units]
    return _measured(known, isinstance(rubric, Ordinal), two_labellers)


def _by_label(names: list[str], units: list[list[Value]], two_labellers: bool) -> dict[str, Any] | None:
    """Each label by itself, and the means over the labels for which there are figures."""
    each = {}
    for place, name in enumerate(names):
        answers = [[labels[place] for labels in unit if labels is not None] for unit in units]
        known = [[float(answer) for answer in unit if answer is not None] for unit in answers]
        if figures := _measured(known, False, two_labellers):
            each[name] = figures
    if not each:
        return None
    by_label = {key: {name: figures[key] for name, figures in each.items()} for key in ("alpha", "kappa")}
    return {
        "documents": max(figures["documents"] for figures in each.values()),
        "pairs": max(figures["pairs"] for figures in each.values()),
        "alpha": _mean(by_label["alpha"].values()),
        "kappa": _mean(by_label["kappa"].values()),
        "alphas": by_label["alpha"],
        "kappas": by_label["kappa"],
    }


def _measured(units: list[Unit], ordinal: bool, two_labellers: bool) -> dict[str, Any] | None:
    units = [unit for unit in units if len(unit) > 1]
    if not units:
        return None
    pairs = [pair for unit in units for pair in combinations(unit, 2)]
    figures = {
        "documents": len(units),
        "pairs": len(pairs),
        "alpha": _rounded(alpha(units, ordinal)),
        "kappa": _rounded(kappa(pairs, ordinal)) if two_labellers else None,
    }
    return {**figures, "mae": _rounded(mean_difference(units))} if ordinal else figures


def alpha(units: list[Unit], ordinal: bool) -> float | None:
    """Krippendorff's alpha, nominal or ordinal; None when all values are the same, or no unit has two."""
    units = [unit for unit in units if len(unit) > 1]
    together: Counter[tuple[float, float]] = Counter()
    for unit in units:
        for pair, count in Counter(permutations(unit, 2)).items():
            together[pair] += count / (len(unit) - 1)
    totals = Counter(value for unit in units for value in unit)
    values, count = sorted(totals), totals.total()
    distances = {}
    for low, high in combinations(values, 2):
        between = sum(totals[value] for value in values if low <= value <= high)
        distances[low, high] = (between - (totals[low] + totals[high]) / 2) ** 2 if ordinal else 1.0
    observed = sum(together[pair] * distance for pair, distance in distances.items())
    expected = sum(totals[low] * totals[high] * distance for (low, high), distance in distances.items())
    return 1 - (count - 1) * observed / expected if expected else None


def kappa(pairs: list[tuple[float, float]], quadratic: bool) -> float | None:
    """Cohen's kappa of (first labeller, second labeller); `quadratic` weighs a disagreement by its square. None when both
    always say the same one thing."""

    def distance(first: float, second: float) -> float:
        return (first - second) ** 2 if quadratic else float(first != second)

    firsts, seconds = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    observed = sum(distance(*pair) for pair in pairs)
    expected = sum(distance(a, b) * firsts[a] * seconds[b] for a in firsts for b in seconds) / len(pairs)
    return 1 - observed / expected if expected else None


def mean_difference(units: list[Unit]) -> float:
    """The mean over documents of the mean absolute difference of two of their labels."""
    means = []
    for unit in units:
        pairs = list(combinations(unit, 2))
        means.append(sum(abs(first - second) for first, second in pairs) / len(pairs))
    return sum(means) / len(means)


def _mean(values) -> float | None:
    known = [value for value in values if value is not None]
    return _rounded(sum(known) / len(known)) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
