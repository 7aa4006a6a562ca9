"""What the scores look like before millions of documents get them: counted on the validation split."""

import itertools

import numpy as np

from trellis.classify.heads import Head
from trellis.classify.measure import active

BINS = 20


def diagnose(heads: dict[str, Head], scores: dict[str, np.ndarray], sources: np.ndarray) -> dict:
    """Counts of documents. `histograms` by rubric: bin `edges` and `counts` (by label where there are several);
    `co_occurrence` by multi-label rubric: how many documents hold both labels, and how many hold 0, 1, 2, ... labels;
    `heat_maps`: documents by label that holds and nearest level. `sources` [documents] says of whom a head speaks."""
    speaks = {name: np.isin(sources, head.sources) for name, head in heads.items()}
    sets = {name: head for name, head in heads.items() if head.scale == "multi_label"}
    levels = {name: head for name, head in heads.items() if head.scale == "ordinal"}
    holds = {name: active(scores[name], head.thresholds) for name, head in sets.items()}
    return {
        "documents": len(sources),
        "histograms": {name: _histogram(head, scores[name][speaks[name]]) for name, head in heads.items()},
        "co_occurrence": {name: _together(head, holds[name][speaks[name]]) for name, head in sets.items()},
        "heat_maps": [
            _heat_map(
                (name, sets[name], holds[name]), (other, levels[other], scores[other]), speaks[name] & speaks[other]
            )
            for name, other in itertools.product(sets, levels)
        ],
    }


def _histogram(head: Head, scores: np.ndarray) -> dict:
    low, high = (head.levels[0], head.levels[-1]) if head.scale == "ordinal" else (0, 1)
    edges = np.linspace(low, high, BINS + 1)
    columns = dict(zip(head.labels, scores.T, strict=True)) if head.labels else {"": scores}
    counts = {name: np.histogram(column, edges)[0].tolist() for name, column in columns.items()}
    return {"edges": edges.round(4).tolist(), "counts": counts if head.labels else counts[""]}


def _together(head: Head, holds: np.ndarray) -> dict:
    counts = holds.T.astype(int) @ holds.astype(int)
    numbers = np.bincount(holds.sum(1), minlength=1)
    return {"labels": head.labels, "counts": counts.tolist(), "documents_by_number_of_labels": numbers.tolist()}


def _heat_map(rows: tuple, columns: tuple, both: np.ndarray) -> dict:
    (name, head, holds), (other, scale, scores) = rows, columns
    levels = np.array(scale.levels)
    nearest = np.abs(scores[both, None] - levels).argmin(1)[:, None] == np.arange(len(levels))
    counts = holds[both].T.astype(int) @ nearest.astype(int)
    return {"rubrics": [name, other], "labels": head.labels, "levels": scale.levels, "counts": counts.tolist()}
