"""The scores of all models and seeds, suite by suite: what the statistics are computed from."""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from trellis.errors import TrellisError
from trellis.evaluate import METRICS
from trellis.evaluate.estimate import Term
from trellis.manifest import Manifest

# The first of these that a suite has says whether an answer is right.
RIGHT = ("ast", "execution", "exact", "schema_valid", "parse")
# Of all items together, over the answerable and the others: a model that never calls scores one half.
BALANCED = "balanced_calling"
UNBOUNDED = "nll_per_byte"
Table = dict[tuple[str, str], pd.DataFrame]


class Key(NamedTuple):
    """Whose scores, and of what; `variant` is tuned or base."""

    model: str
    variant: str
    mode: str
    metric: str


@dataclass(frozen=True)
class Scores:
    """Items of one suite: their cluster, similarity to fine-tuning's schemas (NaN: no schema), and scores by key, each
    [seeds x items], NaN where an item has none; a base model is one seed. `splits` are masks over the items."""

    suite: str
    clusters: np.ndarray
    similarity: np.ndarray
    splits: dict[str, np.ndarray]
    values: dict[Key, np.ndarray]

    def part(self, mask: np.ndarray) -> "Scores":
        """Some of the items, with what only all of them together have."""
        splits = {name: members[mask] for name, members in self.splits.items()}
        values = {key: scores[:, mask] for key, scores in self.values.items()}
        return Scores(self.suite, self.clusters[mask], self.similarity[mask], splits, {**values, **_balanced(values)})

    def terms(self, key: Key) -> tuple[Term, ...]:
        """The mean of one column as a quantity to be estimated."""
        return ((1, self.values[key]),)

    def metrics(self, mode: str) -> list[str]:
        """The metrics of which an item has a value."""
        return sorted(
            {key.metric for key, scores in self.values.items() if key.mode == mode and not np.isnan(scores).all()}
        )

    @property
    def right(self) -> str:
        """The metric that says whether an answer is right."""
        return next(metric for metric in RIGHT if any(key.metric == metric for key in self.values))


def read_scores(scores: list[Manifest], distance: Manifest) -> tuple[list[Scores], dict[str, list[int]]]:
    """(the suites by name, every model's fine-tuning seeds). Raises TrellisError when the models were not scored on the same
    items."""
    # By model and variant, a base model as one seed; each table by suite and mode.
    tables: dict[tuple[str, str], list[Table]] = defaultdict(list)
    seeds: dict[str, list[int]] = defaultdict(list)
    first = None
    for manifest in sorted(scores, key=lambda each: (each.metrics["seed"] is not None, each.metrics["seed"])):
        model, seed = manifest.metrics["model"], manifest.metrics["seed"]
        table = pd.read_parquet(manifest.path("scores.parquet"))
        items = table[["suite", "mode", "id"]]
        first = items if first is None else first
        if not items.equals(first):
            raise TrellisError(f"evaluate_compare: {model} was not scored on the same items as the other models")
        tables[model, "base" if seed is None else "tuned"].append(dict(list(table.groupby(["suite", "mode"]))))
        if seed is not None:
            seeds[model].append(seed)
    nearest = dict(list(pd.read_parquet(distance.path("nearest.parquet")).groupby("suite")))
    suites = sorted({suite for suite, _ in next(iter(tables.values()))[0]})
    return [_suite(name, tables, nearest.get(name)) for name in suites], dict(sorted(seeds.items()))


def combined(
    values: np.ndarray, first: np.ndarray, second: np.ndarray, weights: tuple[float, float], constant: float = 0.0
) -> np.ndarray:
    """Scores whose mean is weights[0] * (mean over the items `first`) + weights[1] * (mean over `second`) + constant, and
    whose variance over clusters is that of this sum (linearisation: Woodruff 1971). `values` [seeds x items]; NaN for items
    of neither and where either has no value."""
    has = ~np.isnan(values).any(axis=0)
    chosen = [mask & has for mask in (first, second)]
    if not all(mask.any() for mask in chosen):
        return np.full_like(values, np.nan)
    total = sum(int(mask.sum()) for mask in chosen)
    means = [values[:, mask].mean(axis=1, keepdims=True) for mask in chosen]
    whole = constant + sum(weight * mean for weight, mean in zip(weights, means, strict=True))
    found = np.full_like(values, np.nan)
    for mask, mean, weight in zip(chosen, means, weights, strict=True):
        found[:, mask] = whole + weight * total / mask.sum() * (values[:, mask] - mean)
    return found


def _balanced(values: dict[Key, np.ndarray]) -> dict[Key, np.ndarray]:
    """Balanced accuracy of calling. An item is answerable when it has an `ast` score, whether or not it is called."""
    found = {}
    for key, called in values.items():
        if key.metric == "called":
            answerable = ~np.isnan(values.get(key._replace(metric="ast"), called * np.nan)).any(axis=0)
            balanced = combined(called, answerable, ~answerable, (0.5, -0.5), 0.5)
            if not np.isnan(balanced).all():
                found[key._replace(metric=BALANCED)] = balanced
    return found


def _suite(name: str, tables: dict[tuple[str, str], list[Table]], nearest: pd.DataFrame | None) -> Scores:
    first = next(iter(tables.values()))[0]
    modes = sorted(mode for suite, mode in first if suite == name)
    items = pd.concat([first[name, mode] for mode in modes]).drop_duplicates("id").set_index("id").sort_index()
    values = {}
    for (model, variant), found in tables.items():
        for mode in modes:
            frames = [table[name, mode].set_index("id").reindex(items.index) for table in found]
            for metric in METRICS:
                column = np.stack([frame[metric].to_numpy(dtype=float, na_value=np.nan) for frame in frames])
                values[Key(model, variant, mode, metric)] = column
    there = {(key.mode, key.metric) for key, scores in values.items() if not np.isnan(scores).all()}
    near = None if nearest is None else nearest.set_index("id").reindex(items.index)
    splits = {"all": np.ones(len(items), dtype=bool)}
    for column in [items["split"]] if near is None else [items["split"], near["bucket"]]:
        for split in sorted(column.dropna().unique()):
            # Where a suite says itself which of its items are `seen`, that stands.
            splits.setdefault(split, (column == split).to_numpy(dtype=bool))
    return Scores(
        suite=name,
        clusters=items["cluster"].to_numpy(dtype=str),
        similarity=np.full(len(items), np.nan) if near is None else near["similarity"].to_numpy(dtype=float),
        splits=splits,
        values={key: scores for key, scores in values.items() if (key.mode, key.metric) in there},
    )
