"""The labelled documents as arrays: token ids, and per rubric what is known of each document."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trellis.classify.heads import Head, Target
from trellis.classify.window import Window
from trellis.errors import TrellisError

SPLITS = ("train", "validation", "test")
READ_TOGETHER = 1_000


class Split(NamedTuple):
    """The documents of one split: their token ids, their labels by rubric, and the source of each."""

    ids: list[np.ndarray]
    targets: dict[str, Target]
    sources: np.ndarray


@dataclass(frozen=True)
class Labelled:
    """All splits, in the order of labels.parquet."""

    tokens: list[np.ndarray]
    sources: np.ndarray
    splits: np.ndarray
    rubrics: dict[str, Target]

    def split(self, name: str) -> Split:
        places = np.flatnonzero(self.splits == name)
        targets = {rubric: target.rows(places) for rubric, target in self.rubrics.items()}
        return Split([self.tokens[place] for place in places], targets, self.sources[places])

    def sizes(self) -> dict[str, int]:
        return {split: int((self.splits == split).sum()) for split in SPLITS}

    def heads(self, rubrics: dict[str, dict], ordinal_loss: str) -> dict[str, Head]:
        """The heads to be trained. Raises TrellisError when no training document has a label of a rubric."""
        heads, split = {}, self.split("train")
        for name, rubric in rubrics.items():
            target, train = self.rubrics[name], split.targets[name]
            if not train.known.any():
                raise TrellisError(
                    f"classify.labels.sample: not one of the {len(split.ids)} training documents has a label of "
                    f"the rubric {name}; sample more, or leave {name} out of classify.rubrics"
                )
            head = Head(rubric["scale"], rubric["version"], sorted(set(self.sources[target.origins != ""])))
            if rubric["scale"] == "ordinal":
                levels = train.values[train.known].astype(np.float64)
                head.levels, head.loss = rubric["levels"], ordinal_loss
                head.mean, head.deviation = float(levels.mean()), float(levels.std()) or 1.0
            else:
                head.labels = rubric["labels" if rubric["scale"] == "multi_label" else "classes"]
            heads[name] = head
        return heads


def read_labelled(path: Path, rubrics: dict[str, dict], window: Window) -> Labelled:
    """Reads labels.parquet. Raises TrellisError when a split is empty."""
    table = pq.read_table(path)
    labelled = Labelled(
        # Not lists: hundreds of thousands of documents stay in memory.
        tokens=[
            np.array(ids, np.int32)
            for batch in table.to_batches(max_chunksize=READ_TOGETHER)
            for ids in window.ids(batch["text"].to_pylist())
        ],
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


def _target(table: pa.Table, name: str, rubric: dict) -> Target:
    origins = np.array([origin or "" for origin in table[f"{name}_origin"].to_pylist()], dtype=object)
    answers = table[name].to_pylist()
    if rubric["scale"] == "classes":
        places = np.array([-1 if place is None else place for place in answers], int)
        values = (places[:, None] == np.arange(len(rubric["classes"]))).astype(np.float32)
        return Target(values, places[:, None] >= 0, origins)
    width = len(rubric["labels"]) if rubric["scale"] == "multi_label" else 1
    rows = [answer if isinstance(answer, list) else [answer] * width for answer in answers]
    values = np.array([[np.nan if one is None else one for one in row] for row in rows], np.float32).reshape(-1, width)
    return Target(np.nan_to_num(values), ~np.isnan(values), origins)
