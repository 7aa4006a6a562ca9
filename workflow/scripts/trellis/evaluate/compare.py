"""evaluate_compare: every model's means with their intervals, and the headline difference that was chosen beforehand."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trellis.command import Result
from trellis.errors import TrellisError
from trellis.evaluate.bootstrap import interval, p_value, resampled_means
from trellis.experiment.evaluation import Headline, Statistics
from trellis.manifest import Manifest
from trellis.spec import Spec

METRICS = ("parse", "schema_valid", "exact", "leaf_f1", "key_f1", "truncated")
Column = tuple[str, str]


def run(spec: Spec, out: Path) -> Result:
    """Writes `statistics.json`. Raises TrellisError when the models were not scored on the same items, or when the
    headline's metric has no value."""
    settings = Statistics.model_validate(spec.config["statistics"])
    headline = Headline.model_validate(spec.config["headline"])
    seeds, groups = collect(spec.inputs_of("scores"))
    table, headline_row = [], None
    for (suite, split), (clusters, columns) in sorted(groups.items()):
        rng = np.random.default_rng(settings.seed)
        names = sorted(columns)
        values = np.stack([columns[name] for name in names], axis=1)
        draws = resampled_means(values, clusters, settings.resamples, rng)
        for index, (model, metric) in enumerate(names):
            row = {"model": model, "suite": suite, "split": split, "metric": metric, "seeds": len(seeds[model])}
            table.append(row | estimate(values[:, index], draws[:, index], clusters, settings.confidence))
        if (suite, split) == (headline.suite, headline.split):
            headline_row = difference(headline, names, values, draws, clusters, settings)
    if headline_row is None or headline_row["n_items"] == 0:
        raise TrellisError(
            f"evaluation.headline: no item of suite {headline.suite}, split {headline.split} has a value of "
            f"{headline.metric}; choose another metric or split, or raise evaluation.text_share"
        )
    headline_row |= {"seeds": {role: len(seeds[getattr(headline, role)]) for role in ("treatment", "control")}}
    method = {"name": "cluster bootstrap over schemas, percentile interval", **settings.model_dump()}
    statistics = {"headline": headline_row, "method": method, "table": table}
    text = json.dumps(statistics, indent=1, ensure_ascii=False, allow_nan=False)
    (out / "statistics.json").write_text(text + "\n", encoding="utf-8")
    return Result({"headline": headline_row, "method": method})


def collect(
    scores: list[Manifest],
) -> tuple[dict[str, list[int]], dict[tuple[str, str], tuple[np.ndarray, dict[Column, np.ndarray]]]]:
    """(seeds by model, by suite and split: clusters of the items, and by (model, metric) an item's mean over the seeds)."""
    seeds: dict[str, list[int]] = defaultdict(list)
    tables: dict[str, list[pd.DataFrame]] = defaultdict(list)
    for manifest in scores:
        seeds[manifest.metrics["model"]].append(manifest.metrics["seed"])
        tables[manifest.metrics["model"]].append(pd.read_parquet(manifest.path("scores.parquet")).set_index("id"))
    first = next(iter(tables.values()))[0]
    for model, found in tables.items():
        if any(not table.index.equals(first.index) for table in found):
            raise TrellisError(f"evaluate_compare: {model} was not scored on the same items as the other models")
    values = {
        (model, metric): np.mean([table[metric].to_numpy(dtype=float, na_value=np.nan) for table in found], axis=0)
        for model, found in tables.items()
        for metric in METRICS
    }
    groups = {}
    for (suite, split), members in sorted(first.groupby(["suite", "split"]).indices.items()):
        columns = {name: column[members] for name, column in values.items()}
        groups[suite, split] = (first["cluster"].to_numpy(dtype=str)[members], columns)
    return dict(seeds), groups


def estimate(values: np.ndarray, draws: np.ndarray, clusters: np.ndarray, confidence: float) -> dict[str, Any]:
    """Mean, interval, and what they rest on; None where no item has a value."""
    has = ~np.isnan(values)
    counts = {"n_items": int(has.sum()), "n_clusters": len(np.unique(clusters[has]))}
    if not has.any():
        return {"mean": None, "low": None, "high": None, **counts}
    low, high = interval(draws, confidence)
    return {"mean": float(values[has].mean()), "low": low, "high": high, **counts}


def difference(
    headline: Headline,
    names: list[Column],
    values: np.ndarray,
    draws: np.ndarray,
    clusters: np.ndarray,
    settings: Statistics,
) -> dict[str, Any]:
    """Treatment minus control, paired by item, with interval and p-value."""
    treatment = names.index((headline.treatment, headline.metric))
    control = names.index((headline.control, headline.metric))
    paired = draws[:, treatment] - draws[:, control]
    result = estimate(values[:, treatment] - values[:, control], paired, clusters, settings.confidence)
    if result["n_items"]:
        result["p"] = p_value(paired)
        result |= {
            f"{role}_mean": float(np.nanmean(values[:, column]))
            for role, column in (("treatment", treatment), ("control", control))
        }
    result["difference"] = result.pop("mean")
    return {**headline.model_dump(), **result, "confidence": settings.confidence, "resamples": settings.resamples}
