"""How good a classifier is, on documents that it never saw."""

import numpy as np
from scipy.stats import spearmanr

# With fewer positives than this a label's own threshold would be noise.
ENOUGH = 5


def calibrate(scores: np.ndarray, truth: np.ndarray, known: np.ndarray) -> list[float]:
    """Per label the threshold of highest F1 on the validation split; the threshold of highest micro-F1 over all labels
    where the split has fewer than ENOUGH documents of the label. All arrays [documents, labels]; `known` is false where
    a label is open."""
    common = _best_threshold(scores[known], truth[known])
    thresholds = []
    for label in range(scores.shape[1]):
        rows = known[:, label]
        enough = truth[rows, label].sum() >= ENOUGH
        thresholds.append(_best_threshold(scores[rows, label], truth[rows, label]) if enough else common)
    return thresholds


def _best_threshold(scores: np.ndarray, truth: np.ndarray) -> float:
    """The threshold of highest F1, halfway between two scores; 0.5 where nothing is true."""
    if not truth.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + truth.sum())
    # A threshold cannot part equal scores: only the last of them may be the lowest chosen.
    f1[:-1][ranked[1:] == ranked[:-1]] = 0
    last = int(np.argmax(f1))
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return round(float(ranked[last] + below) / 2, 6)


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
