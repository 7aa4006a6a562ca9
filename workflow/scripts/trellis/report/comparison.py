"""The headline comparison, and every metric of every model, from statistics.json."""

from typing import Any

from trellis.report.charts import Estimate, around_zero, forest
from trellis.report.study import Arm
from trellis.report.wording import MINUS, percent, points

SPLITS = ("seen", "unseen")
METRICS = {
    "parse": ("Parses", "The output is strict JSON and nothing else."),
    "schema_valid": ("Schema-valid", "It parses, and is valid against the item's JSON Schema."),
    "exact": ("Exact match", "It is valid and equal to the expected object; only items that have one."),
    "leaf_f1": ("Leaf F1", "F1 over (path, value) of the leaves; only items that have an expected object."),
    "key_f1": ("Key F1", "F1 over the paths of keys, against the expected object or else the required keys."),
    "truncated": ("Truncated", "The output was cut off at the limit of new tokens; less is better."),
}


def headline_section(experiment: dict[str, Any], statistics: dict[str, Any], arms: list[Arm]) -> dict[str, Any]:
    """Two small forest plots: the rates of all models on the headline metric, and the difference that was asked for."""
    chosen, headline = experiment["evaluation"]["headline"], statistics["headline"]
    rates = []
    for arm in arms:
        row = find_row(statistics, arm.name, chosen["suite"], chosen["split"], chosen["metric"])
        if row:
            rates.append(Estimate(arm.name, arm.index, row["mean"], row["low"], row["high"], _interval(row)))
    difference = Estimate(
        label=f"{chosen['treatment']} {MINUS} {chosen['control']}",
        index=next(arm.index for arm in arms if arm.name == chosen["treatment"]),
        value=headline["difference"],
        low=headline["low"],
        high=headline["high"],
        text=f"{points(headline['difference'])}  [{points(headline['low'])}, {points(headline['high'])}]",
    )
    metric = METRICS[chosen["metric"]][0]
    domain = around_zero(headline["low"], headline["high"])
    return {
        "chosen": chosen,
        "metric": metric,
        "headline": headline,
        "confidence": f"{100 * headline['confidence']:g}%",
        "method": statistics["method"],
        "rates": forest(f"{metric}, {chosen['split']} schemas", "rate", rates, (0.0, 1.0)),
        "difference": forest("Difference", "percentage points", [difference], domain, signed=True),
    }


def table_section(experiment: dict[str, Any], statistics: dict[str, Any], arms: list[Arm]) -> dict[str, Any]:
    """By suite and metric: each model's estimate on seen and on unseen schemas; None where nothing was measured."""
    suites = []
    for suite in experiment["evaluation"]["suites"]:
        groups = []
        for metric, (label, meaning) in METRICS.items():
            rows = [(arm, [find_row(statistics, arm.name, suite, split, metric) for split in SPLITS]) for arm in arms]
            if any(cell for _, cells in rows for cell in cells):
                groups.append({"label": label, "meaning": meaning, "rows": rows})
        suites.append({"name": suite, "groups": groups})
    return {"suites": suites, "splits": SPLITS}


def find_row(statistics: dict[str, Any], model: str, suite: str, split: str, metric: str) -> dict[str, Any] | None:
    """The row of the statistics' table, None when it is not there or has no items."""
    wanted = (model, suite, split, metric)
    for row in statistics["table"]:
        if (row["model"], row["suite"], row["split"], row["metric"]) == wanted and row["mean"] is not None:
            return row
    return None


def _interval(row: dict[str, Any]) -> str:
    return f"{percent(row['mean'])}  [{percent(row['low'])}, {percent(row['high'])}]"
