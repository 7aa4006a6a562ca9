"""How good a classifier is, on documents that it never saw."""

import numpy as np
from scipy.stats import spearmanr


def calibrate(scores: np.ndarray, truth: np.ndarray, known: np.ndarray) -> list[float]:
    """Per label the threshold of highest F1 on the validation split; the one nearest to 0.5 among equals, and 0.5 where
    the split has no such label. All arrays [documents, labels]; `known` is false where a label is open."""
    thresholds = []
    for label in range(scores.shape[1]):
        rows = known[:, label]
        values, positive = scores[rows, label], truth[rows, label]
        levels = np.unique(np.append(values, 0.5))
        # Between two scores lies one threshold: their middle.
        candidates = [0.5, *((levels[1:] + levels[:-1]) / 2)] if positive.any() else [0.5]
        best = max(candidates, key=lambda threshold: (_f1(values >= threshold, positive), -abs(threshold - 0.5)))
        thresholds.append(round(float(best), 6))
    return thresholds


def multi_label(scores: np.ndarray, truth: np.ndarray, known: np.ndarray, thresholds: list[float]) -> dict:
    """Micro- and macro-F1 at the thresholds; the macro mean runs over labels that occur among the documents."""
    chosen = scores >= np.asarray(thresholds, np.float32)
    occurring = [label for label in range(scores.shape[1]) if (truth & known)[:, label].any()]
    by_label = [_f1(chosen[known[:, label], label], truth[known[:, label], label]) for label in occurring]
    return {
        "documents": len(scores),
        "micro_f1": _rounded(_f1(chosen[known], truth[known])),
        "micro_f1_at_half": _rounded(_f1(scores[known] >= 0.5, truth[known])),
        "macro_f1": _rounded(np.mean(by_label)) if by_label else None,
        "labels_that_occur": len(occurring),
    }


def ordinal(scores: np.ndarray, truth: np.ndarray, training_mean: float) -> dict:
    """Spearman's rank correlation and mean absolute error in levels, beside the error of always predicting the mean of
    the training labels. Correlation is None where either side does not vary."""
    if not len(truth):
        return {"documents": 0, "spearman": None, "mae": None, "mae_of_the_mean": None}
    varies = len(np.unique(scores)) > 1 and len(np.unique(truth)) > 1
    return {
        "documents": len(truth),
        "spearman": _rounded(spearmanr(scores, truth).statistic) if varies else None,
        "mae": _rounded(np.abs(scores - truth).mean()),
        "mae_of_the_mean": _rounded(np.abs(training_mean - truth).mean()),
    }


def _f1(chosen: np.ndarray, truth: np.ndarray) -> float:
    both = 2 * np.sum(chosen & truth)
    total = np.sum(chosen) + np.sum(truth)
    return float(both / total) if total else 0.0


def _rounded(value: float) -> float:
    return round(float(value), 4)
