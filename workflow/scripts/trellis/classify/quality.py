"""The quality of a trained head on one split, by the scale of its rubric."""

import numpy as np

from trellis.classify.heads import Head, Target
from trellis.classify.measure import active, classes, confusion, multi_label, one_label, ordinal, reliability, rounded


def epoch_quality(head: Head, scores: np.ndarray, target: Target, train: Target) -> float | None:
    """One number to choose an epoch by, 1 at best: micro-F1 at the head's thresholds, accuracy, or the share of the mean's
    error that the head avoids; None where the split has no label of the rubric."""
    found = headline(head, scores, target, train)
    if not found["documents"]:
        return None
    if head.scale == "ordinal":
        return 1 - found["mae"] / (found["mae_of_the_mean"] or 1.0)
    return found["micro_f1" if head.scale == "multi_label" else "accuracy"]


def quality(head: Head, scores: np.ndarray, target: Target, train: Target) -> dict:
    """All measures: those of `headline`, the same by the labels' origin, calibration, and by label or level. `scores` and
    `target` are of the split that is measured."""
    labelled = target.origins != ""
    scores, target = scores[labelled], target.rows(labelled)
    origins = {origin: target.origins == origin for origin in sorted(set(target.origins))}
    return {
        "scale": head.scale,
        **headline(head, scores, target, train),
        "by_origin": {origin: headline(head, scores[o], target.rows(o), train) for origin, o in origins.items()},
        **_details(head, scores, target),
    }


def headline(head: Head, scores: np.ndarray, target: Target, train: Target) -> dict:
    """The few numbers that say how good it is; `train` gives the trivial answer to compare with."""
    labelled = target.origins != ""
    scores, target = scores[labelled], target.rows(labelled)
    if head.scale == "multi_label":
        return multi_label(scores, target.values > 0, target.known, head.thresholds)
    if head.scale == "classes":
        return classes(scores, target.values.argmax(1), int(train.values.sum(0).argmax()))
    return ordinal(scores, target.values[:, 0], float(train.values[train.known].mean(dtype=np.float64)))


def _details(head: Head, scores: np.ndarray, target: Target) -> dict:
    if head.scale == "multi_label":
        truth, known = target.values > 0, target.known
        chosen = active(scores, head.thresholds)
        by_label = {}
        for place, name in enumerate(head.labels):
            rows = known[:, place]
            curve = reliability(scores[rows, place], truth[rows, place])
            found = one_label(chosen[rows, place], truth[rows, place])
            by_label[name] = {**found, "threshold": head.thresholds[place], "calibration_error": curve["error"]}
        return {
            "labels": head.labels,
            "thresholds": head.thresholds,
            "by_label": by_label,
            "reliability": reliability(scores[known], truth[known]),
        }
    if head.scale == "classes":
        truth, chosen = target.values.argmax(1), scores.argmax(1)
        return {
            "labels": head.labels,
            "by_label": {name: one_label(chosen == place, truth == place) for place, name in enumerate(head.labels)},
            "confusion": confusion(truth, chosen, len(head.labels)),
            "reliability": reliability(scores.max(1, initial=0), (chosen == truth).astype(float)),
        }
    truth, levels = target.values[:, 0], np.array(head.levels)
    nearest = [np.abs(each[:, None] - levels).argmin(1) for each in (truth, scores)]
    return {
        "levels": head.levels,
        "confusion": confusion(*nearest, len(levels)),
        "reliability": reliability(scores, truth, head.levels[0], head.levels[-1]),
    }


def mean_quality(found: dict[str, float | None]) -> float:
    """The mean over the rubrics that could be measured, 0 where none could."""
    known = [value for value in found.values() if value is not None]
    return rounded(np.mean(known)) if known else 0.0
