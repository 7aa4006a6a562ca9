"""What the scores say model by model: the table, the seeds, kinds of failure, the format tax, accuracy by similarity."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from trellis.evaluate.estimate import Estimate, estimates
from trellis.evaluate.score_tables import UNBOUNDED, Key, Scores
from trellis.experiment.evaluation import Statistics
from trellis.experiment.prereg import Contrast, Preregistration
from trellis.manifest import Manifest

BARS = 5


def summary(
    suites: dict[str, Scores], seeds: dict[str, list[int]], prereg: Preregistration, settings: Statistics
) -> dict[str, list[dict[str, Any]]]:
    """table, seeds, by_similarity, decomposition and format_tax, as the contract of `compare` says."""
    named = list(prereg.contrasts().values())
    found: dict[str, list[dict[str, Any]]] = {
        "table": [],
        "seeds": [],
        "by_similarity": [],
        "decomposition": [],
        "format_tax": [],
    }
    for scores in suites.values():
        # What the contrasts measure on this suite, and whether an answer is right.
        metrics = sorted({scores.right, *(each.metric for each in named if each.suite == scores.suite)})
        for split, mask in scores.splits.items():
            part = scores.part(mask)
            rows, taxes = _table(part, split, metrics, named, settings)
            found["table"] += rows
            found["format_tax"] += taxes
            found["decomposition"] += _decomposition(part, split)
        found["by_similarity"] += _by_similarity(scores, metrics, settings)
    for suite, split, mode, metric in sorted({(each.suite, each.split, each.mode, each.metric) for each in named}):
        part = suites[suite].part(suites[suite].splits[split])
        for model, numbers in seeds.items():
            means = np.nanmean(part.values[Key(model, "tuned", mode, metric)], axis=1)
            by_seed = {str(seed): float(mean) for seed, mean in zip(numbers, means, strict=True)}
            row = {"model": model, "suite": suite, "split": split, "mode": mode, "metric": metric}
            found["seeds"].append(row | {"by_seed": by_seed})
    found["table"].sort(key=lambda row: [row[key] for key in ("model", "variant", "suite", "split", "mode", "metric")])
    return found


def knowledge(manifests: list[Manifest]) -> list[dict[str, Any]]:
    """lm-eval's figures, means over a model's seeds. The seeds answer the same items, so their mean is no surer about items
    than one of them is; what the seeds differ by is added."""
    groups: dict[tuple[str, str, str, str], list[tuple[float, float, int]]] = defaultdict(list)
    for manifest in manifests:
        variant = "base" if manifest.metrics["seed"] is None else "tuned"
        for task, figures in manifest.metrics["tasks"].items():
            for metric, value in figures.items():
                if (stderr := figures.get(f"{metric}_stderr")) is not None and value is not None:
                    key = (manifest.metrics["model"], variant, task, metric)
                    groups[key].append((value, stderr, figures["items"]))
    rows = []
    for (model, variant, task, metric), found in groups.items():
        values, errors, items = (np.array(column) for column in zip(*found, strict=True))
        of_seeds = values.var(ddof=1) / len(values) if len(values) > 1 else 0.0
        row = {"model": model, "variant": variant, "task": task, "metric": metric, "value": float(values.mean())}
        rows.append(row | {"stderr": float(((errors**2).mean() + of_seeds) ** 0.5), "items": int(items[0])})
    return rows


def _table(
    part: Scores, split: str, metrics: list[str], named: list[Contrast], settings: Statistics
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(a row for every column, constrained minus free for the fine-tuned models)."""
    keys = sorted(part.values)
    taxed = [key for key in keys if key.variant == "tuned" and key.mode == "free" and key.metric in metrics]
    taxed = [key for key in taxed if key._replace(mode="constrained") in part.values]
    changes = [((1, part.values[key._replace(mode="constrained")] - part.values[key]),) for key in taxed]
    found = estimates([part.terms(key) for key in keys] + changes, part.clusters, settings)
    rows = [
        _row(part.suite, split, key, estimate, part.values[key], named, settings.confidence)
        for key, estimate in zip(keys, found, strict=False)
        if estimate is not None
    ]
    taxes = []
    for key, change in zip(taxed, found[len(keys) :], strict=True):
        if change is not None:
            taxes.append(_tax(part, split, key, change, settings.confidence))
    return rows, taxes


def _row(
    suite: str, split: str, key: Key, found: Estimate, values: np.ndarray, named: list[Contrast], confidence: float
) -> dict[str, Any]:
    low, high = (found.interval if key.metric == UNBOUNDED else found.rate_interval)(confidence)
    of_contrast = key.variant == "tuned" and any(
        key.model in (each.treatment, each.control)
        and (suite, split, key.mode, key.metric) == (each.suite, each.split, each.mode, each.metric)
        for each in named
    )
    return {
        "model": key.model,
        "variant": key.variant,
        "suite": suite,
        "split": split,
        "mode": key.mode,
        "metric": key.metric,
        "mean": found.value,
        "low": low,
        "high": high,
        "n_items": found.n_items,
        "n_clusters": found.n_clusters,
        "seeds": len(values) if key.variant == "tuned" else 0,
        "exploratory": not of_contrast,
    }


def _tax(part: Scores, split: str, key: Key, change: Estimate, confidence: float) -> dict[str, Any]:
    """What the grammar adds, over the items that are answered in both modes."""
    free, constrained = part.values[key], part.values[key._replace(mode="constrained")]
    both = ~np.isnan(free + constrained).any(axis=0)
    low, high = change.interval(confidence)
    return {
        "model": key.model,
        "suite": part.suite,
        "split": split,
        "metric": key.metric,
        "free": float(free[:, both].mean()),
        "constrained": float(constrained[:, both].mean()),
        "difference": change.value,
        "low": low,
        "high": high,
    }


def _decomposition(part: Scores, split: str) -> Iterator[dict[str, Any]]:
    """Every answer under one heading; of a cut answer nothing else is said."""
    for key, valid in part.values.items():
        if key.metric != "schema_valid" or np.isnan(valid).all():
            continue
        items = ~np.isnan(valid).any(axis=0)
        columns = {
            metric: part.values[other][:, items]
            for metric in ("ast", "execution", "exact", "parse", "truncated")
            if (other := key._replace(metric=metric)) in part.values
        }
        valid = valid[:, items]
        right = valid
        # The first that an item has, as in RIGHT.
        for metric in ("exact", "execution", "ast"):
            if metric in columns:
                right = np.where(np.isnan(columns[metric]), right, columns[metric])
        shares, rest = {}, np.ones(valid.shape, dtype=bool)
        for name, members in (
            ("correct", right == 1),
            ("truncated", columns["truncated"] == 1),
            ("no_parse", columns["parse"] == 0),
            ("bad_schema", valid == 0),
            ("wrong_value", rest),
        ):
            shares[name] = float((rest & members).mean())
            rest = rest & ~members
        row = {"model": key.model, "variant": key.variant, "suite": part.suite, "split": split, "mode": key.mode}
        yield row | {"items": int(items.sum())} | shares


def _by_similarity(scores: Scores, metrics: list[str], settings: Statistics) -> Iterator[dict[str, Any]]:
    """Fine-tuned models over bars of similarity to the nearest schema of fine-tuning, of equal width."""
    number = np.minimum(np.nan_to_num(scores.similarity, nan=-1.0) * BARS, BARS - 1)
    bars = [(bar, scores.part(mask)) for bar in range(BARS) if (mask := np.floor(number) == bar).any()]
    columns = {key: [] for key in sorted(scores.values) if key.variant == "tuned" and key.metric in metrics}
    for bar, part in bars:
        for key, found in zip(columns, estimates([*map(part.terms, columns)], part.clusters, settings), strict=True):
            if found is not None:
                columns[key].append((bar, found))
    for mode, metric in sorted({(key.mode, key.metric) for key in columns}):
        bins: dict[int, dict[str, Any]] = {}
        for key, found in columns.items():
            for bar, estimate in found if (key.mode, key.metric) == (mode, metric) else ():
                row = bins.setdefault(
                    bar, {"low": bar / BARS, "high": (bar + 1) / BARS, "items": estimate.n_items, "models": {}}
                )
                low, high = estimate.rate_interval(settings.confidence)
                row["models"][key.model] = {"mean": estimate.value, "low": low, "high": high}
        if bins:
            row = {"suite": scores.suite, "mode": mode, "metric": metric}
            yield row | {"bins": [bins[bar] for bar in sorted(bins)]}
