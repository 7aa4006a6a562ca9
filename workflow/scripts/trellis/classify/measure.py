"""How good scores are, on documents that the classifier never saw: measures of plain arrays."""

import numpy as np
from scipy.stats import spearmanr

# With fewer positives than this a label's own threshold would be noise.
ENOUGH = 5
BINS = 10


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


def active(scores: np.ndarray, thresholds: list[float]) -> np.ndarray:
    """bool [documents, labels]: which labels hold."""
    return scores >= np.asarray(thresholds, np.float32)


def multi_label(scores: np.ndarray, truth: np.ndarray, known: np.ndarray, thresholds: list[float]) -> dict:
    """Micro- and macro-F1 at the thresholds; the macro mean runs over labels that occur among the documents."""
    chosen = active(scores, thresholds)
    occurring = [label for label in range(scores.shape[1]) if (truth & known)[:, label].any()]
    by_label = [_f1(chosen[known[:, label], label], truth[known[:, label], label]) for label in occurring]
    return {
        "documents": len(scores),
        "micro_f1": rounded(_f1(chosen[known], truth[known])),
        "micro_f1_at_half": rounded(_f1(scores[known] >= 0.5, truth[known])),
        "macro_f1": rounded(np.mean(by_label)) if by_label else None,
        "labels_that_occur": len(occurring),
    }


def one_label(chosen: np.ndarray, truth: np.ndarray) -> dict:
    """Precision, recall and F1 of one label, bool [documents]; `support` is how many documents it holds for. A ratio of
    nothing is None."""
    both, predicted, support = (int(np.sum(each)) for each in (chosen & truth, chosen, truth))
    return {
        "precision": rounded(both / predicted) if predicted else None,
        "recall": rounded(both / support) if support else None,
        "f1": rounded(_f1(chosen, truth)) if predicted or support else None,
        "support": support,
        "predicted": predicted,
    }


def ordinal(scores: np.ndarray, truth: np.ndarray, training_mean: float) -> dict:
    """Spearman's rank correlation and mean absolute error in levels, beside the error of always predicting the mean of
    the training labels. Correlation is None where either side does not vary."""
    if not len(truth):
        return {"documents": 0, "spearman": None, "mae": None, "mae_of_the_mean": None}
    varies = len(np.unique(scores)) > 1 and len(np.unique(truth)) > 1
    return {
        "documents": len(truth),
        "spearman": rounded(spearmanr(scores, truth).statistic) if varies else None,
        "mae": rounded(np.abs(scores - truth).mean()),
        "mae_of_the_mean": rounded(np.abs(training_mean - truth).mean()),
    }


def classes(scores: np.ndarray, truth: np.ndarray, commonest: int) -> dict:
    """Accuracy and macro-F1 (over classes that occur) of the likeliest class, beside the accuracy of always saying the
    training labels' commonest one. `scores` [documents, classes], `truth` [documents] places."""
    if not len(truth):
        return {"documents": 0, "accuracy": None, "accuracy_of_the_commonest": None, "macro_f1": None}
    chosen = scores.argmax(1)
    return {
        "documents": len(truth),
        "accuracy": rounded(np.mean(chosen == truth)),
        "accuracy_of_the_commonest": rounded(np.mean(truth == commonest)),
        "macro_f1": rounded(np.mean([_f1(chosen == place, truth == place) for place in np.unique(truth)])),
    }


def confusion(truth: np.ndarray, chosen: np.ndarray, width: int) -> list[list[int]]:
    """How many documents of each true place (rows) were given each place (columns)."""
    counts = np.zeros((width, width), int)
    np.add.at(counts, (truth, chosen), 1)
    return counts.tolist()


def reliability(predicted: np.ndarray, observed: np.ndarray, low: float = 0.0, high: float = 1.0) -> dict:
    """Ten bins of equal width over [low, high]: `n`, the mean prediction and the mean of what was observed (a share true,
    or a level), None where a bin is empty. `error` is the expected calibration error: the mean distance of the two,
    weighted by n (Guo et al. 2017, arXiv 1706.04599)."""
    places = np.clip(((predicted - low) / (high - low) * BINS).astype(int), 0, BINS - 1)
    bins, error = [], 0.0
    for place in range(BINS):
        rows = places == place
        count = int(rows.sum())
        means = (float(predicted[rows].mean()), float(observed[rows].mean())) if count else (None, None)
        error += count * abs(means[0] - means[1]) if count else 0.0
        bins.append(
            {"n": count, **{key: rounded(mean) for key, mean in zip(("predicted", "observed"), means, strict=True)}}
        )
    return {"error": rounded(error / len(predicted)) if len(predicted) else None, "bins": bins}


def rounded(value: float | None) -> float | None:
    """Four decimals."""
    return None if value is None else round(float(value), 4)


def _f1(chosen: np.ndarray, truth: np.ndarray) -> float:
    both = 2 * np.sum(chosen & truth)
    total = np.sum(chosen) + np.sum(truth)
    return float(both / total) if total else 0.0
