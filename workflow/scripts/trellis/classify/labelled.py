"""The labelled documents as arrays: token ids, and per rubric what is known of each document."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from trellis.classify.model import Head
from trellis.classify.window import Window
from trellis.errors import TrellisError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Target:
    """One rubric's labels: float32 `values` and bool `known`, both [documents, labels or 1]; `origins` [documents] is
    real, heuristic, or empty where the rubric does not apply."""

    values: np.ndarray
    known: np.ndarray
    origins: np.ndarray

    def prevalence(self) -> np.ndarray:
        """The share of known answers that are true, by label; one more of each kind keeps it inside 0..1."""
        return ((self.values * self.known).sum(0) + 1) / (self.known.sum(0) + 2)

    def rows(self, places: np.ndarray) -> "Target":
        return Target(self.values[places], self.known[places], self.origins[places])


@dataclass(frozen=True)
class Labelled:
    """All splits, in the order of labels.parquet."""

    tokens: list[list[int]]
    sources: np.ndarray
    splits: np.ndarray
    rubrics: dict[str, Target]

    def ids(self, split: str) -> list[list[int]]:
        return [self.tokens[place] for place in np.flatnonzero(self.splits == split)]

    def targets(self, split: str) -> dict[str, Target]:
        places = np.flatnonzero(self.splits == split)
        return {name: target.rows(places) for name, target in self.rubrics.items()}

    def sizes(self) -> dict[str, int]:
        return {split: int((self.splits == split).sum()) for split in SPLITS}

    def heads(self, rubrics: dict[str, dict]) -> dict[str, Head]:
        """The heads to be trained; ordinal ones with the mean and deviation of their training labels."""
        heads = {}
        for name, rubric in rubrics.items():
            target, train = self.rubrics[name], self.targets("train")[name]
            levels = train.values[train.known].astype(np.float64)
            if not len(levels):
                raise TrellisError(
                    f"classify.labels.sample: not one of the {self.sizes()['train']} training documents has a label of "
                    f"the rubric {name}; sample more, or leave {name} out of classify.rubrics"
                )
            head = Head(rubric["scale"], rubric["version"], sorted(set(self.sources[target.origins != ""])))
            if rubric["scale"] == "multi_label":
                head.labels = rubric["labels"]
            else:
                head.mean, head.deviation = float(levels.mean()), float(levels.std()) or 1.0
            heads[name] = head
        return heads


def read_labelled(path: Path, rubrics: dict[str, dict], window: Window) -> Labelled:
    """Reads labels.parquet. Raises TrellisError when a split is empty."""
    table = pq.read_table(path)
    labelled = Labelled(
        tokens=window.ids(table["text"].to_pylist()),
        sources=np.array(table["source"].to_pylist(), dtype=object),
        splits=np.array(table["split"].to_pylist(), dtype=object),
        rubrics={name: _target(table, name, rubric) for name, rubric in rubrics.items()},
    )
    if empty := [split for split, size in labelled.sizes().items() if not size]:
        raise TrellisError(
            f"classify.labels: the {empty[0]} split of {len(labelled.tokens)} documents is empty; "
            f"raise `sample`, `validation_share` or `test_share`"
        )
    return labelled


def _target(table, name: str, rubric: dict) -> Target:
    width = len(rubric.get("labels", [])) or 1
    rows = []
    for answer in table[name].to_pylist():
        answers = answer if isinstance(answer, list) else [answer] * width
        rows.append([np.nan if one is None else float(one) for one in answers])
    values = np.array(rows, dtype=np.float32).reshape(-1, width)
    origins = np.array([origin or "" for origin in table[f"{name}_origin"].to_pylist()], dtype=object)
    return Target(np.nan_to_num(values), ~np.isnan(values), origins)
