"""Differences between two fine-tuned models, paired by item: those of the preregistration, and what they do beyond it."""

from typing import Any

import numpy as np

from trellis.errors import TrellisError
from trellis.evaluate.estimate import Estimate, Term, estimates
from trellis.evaluate.score_tables import Key, Scores, combined
from trellis.evaluate.significance import holm, mcnemar
from trellis.experiment.evaluation import Statistics
from trellis.experiment.prereg import Contrast, Preregistration

# Of all that a contrast may name, these are not 0 or 1 for each answer.
GRADED = {"leaf_f1", "key_f1"}


def contrasts(
    suites: dict[str, Scores], prereg: Preregistration, settings: Statistics
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """(the primary contrast, the secondary family with Holm's p-values, the interactions). Raises TrellisError when a
    contrast names a split or a metric that the items do not have."""
    primary, *secondary = [
        _contrast(label, contrast, suites, prereg, settings) for label, contrast in prereg.contrasts().items()
    ]
    for row, p in zip(secondary, holm([row["p"] for row in secondary]), strict=True):
        row |= {"holm_p": p, "holm_significant": p <= 1 - settings.confidence}
    interactions = [
        found
        for contrast in prereg.contrasts().values()
        if (found := _interaction(contrast, suites[contrast.suite], prereg, settings))
    ]
    return primary, secondary, interactions


def _contrast(
    label: str, contrast: Contrast, suites: dict[str, Scores], prereg: Preregistration, settings: Statistics
) -> dict[str, Any]:
    scores = suites[contrast.suite]
    if contrast.split not in scores.splits:
        raise TrellisError(
            f"prereg.{label}.split: suite {contrast.suite} has no {contrast.split} items (it has: "
            f"{', '.join(sorted(scores.splits))})"
        )
    part = scores.part(scores.splits[contrast.split])
    if contrast.metric not in (there := part.metrics(contrast.mode)):
        raise TrellisError(
            f"prereg.{label}.metric: the {contrast.split} items of suite {contrast.suite} have no {contrast.metric} when "
            f"decoding is {contrast.mode} (they have: {', '.join(there)})"
        )
    pair = [part.values[key] for key in _keys(contrast)]
    both = _shared(pair)
    pair = [values[:, both] for values in pair]
    row = _described(contrast, pair, part.clusters[both], prereg, settings)
    return row | {"mcnemar_p": None if contrast.metric in GRADED else mcnemar(*pair)}


def _interaction(
    contrast: Contrast, scores: Scores, prereg: Preregistration, settings: Statistics
) -> dict[str, Any] | None:
    """How much more the treatment gains on this split than on schemas of fine-tuning; None where there are none."""
    seen, split = scores.splits.get("seen"), scores.splits[contrast.split]
    if seen is None or (seen & split).any():
        return None
    part = scores.part(seen | split)
    masks = part.splits[contrast.split], part.splits["seen"]
    pair = [combined(part.values[key], *masks, (1.0, -1.0)) for key in _keys(contrast)]
    both = _shared(pair)
    if not both.any():
        return None
    pair = [values[:, both] for values in pair]
    row = _described(contrast, pair, part.clusters[both], prereg, settings)
    return row | {"against": "seen", "exploratory": True}


def _keys(contrast: Contrast) -> tuple[Key, Key]:
    names = contrast.treatment, contrast.control
    first, second = (Key(model, "tuned", contrast.mode, contrast.metric) for model in names)
    return first, second


def _shared(pair: list[np.ndarray]) -> np.ndarray:
    """The items of which both have a score."""
    return ~np.isnan(np.concatenate(pair)).any(axis=0)


def _described(
    contrast: Contrast, pair: list[np.ndarray], clusters: np.ndarray, prereg: Preregistration, settings: Statistics
) -> dict[str, Any]:
    """Treatment minus control over items that both have, as the contract of `compare` says."""
    terms: tuple[Term, ...] = ((1, pair[0]), (-1, pair[1]))
    (found,) = estimates([terms], clusters, settings)
    assert found is not None
    low, high = found.interval(settings.confidence)
    items_low, items_high = found.items_interval(settings.confidence)
    seeds = {role: len(values) for role, values in zip(("treatment", "control"), pair, strict=True)}
    return {
        **contrast.model_dump(),
        "difference": found.value,
        "low": low,
        "high": high,
        "p": found.p,
        "items_low": items_low,
        "items_high": items_high,
        "treatment_mean": float(pair[0].mean()),
        "control_mean": float(pair[1].mean()),
        "n_items": found.n_items,
        "n_clusters": found.n_clusters,
        "seeds": seeds,
        "components": _components(found),
        "mde": found.detectable(settings.confidence, settings.power),
        "equivalent": found.equivalent(settings.confidence, prereg.margin),
        "mcnemar_p": None,
        "enough_seeds": min(seeds.values()) >= prereg.minimum_seeds,
        "confidence": settings.confidence,
        "resamples": settings.resamples,
    }


def _components(found: Estimate) -> dict[str, float | None]:
    treatment, control = found.seed_se
    return {
        "items_se": found.items_se,
        "treatment_seed_se": treatment,
        "control_seed_se": control,
        "overlap_se": found.overlap_se,
        "total_se": found.total_se,
        "df": found.df,
    }
