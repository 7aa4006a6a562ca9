"""The comparisons that were written down beforehand, and every metric of every model, from statistics.json."""

from typing import Any

from trellis.report.charts import Estimate, around_zero, forest
from trellis.report.results import Results
from trellis.report.study import Arm
from trellis.report.wording import MINUS, percent, points

METRICS = {
    "parse": ("Parses", "The output is one strict text of its language and nothing else."),
    "parse_lenient": ("Parses leniently", "Its first fenced or balanced value is."),
    "schema_valid": ("Schema-valid", "It parses, and is valid against the item's JSON Schema."),
    "exact": ("Exact match", "It is valid and equal to the expected value; only items that have one."),
    "leaf_f1": ("Leaf F1", "F1 over (path, value) of the leaves; only items that have an expected value."),
    "key_f1": ("Key F1", "F1 over the paths of keys, against the expected value or else the required keys."),
    "type_accuracy": ("Types", "Share of the expected leaves at whose path a value of the same type stands."),
    "name_accuracy": ("Function names", "The functions called are those of the expected calls."),
    "ast": ("Calls", "Names and arguments pass BFCL's check of calls."),
    "balanced_calling": ("Balanced calling", "Mean of calling where it helps and of not calling where it does not."),
    "execution": ("Execution", "The query's result is the expected query's."),
    "truncated": ("Truncated", "The output was cut off at the limit of new tokens; less is better."),
    "nll_per_byte": ("Nats per byte", "Of the expected answer's text, given the prompt; not a share, less is better."),
}
SPLITS = ("all", "seen", "unseen", "near", "far", "held_out_feature")


def headline_section(statistics: dict[str, Any], arms: list[Arm]) -> dict[str, Any]:
    """The primary comparison as two small forest plots, its components, and the secondary family."""
    primary = statistics["primary"]
    rates = []
    for arm in arms:
        row = find_row(statistics, arm.name, primary["suite"], primary["split"], primary["metric"], primary["mode"])
        if row:
            rates.append(Estimate(arm.name, arm.index, row["mean"], row["low"], row["high"], _interval(row)))
    index = next(arm.index for arm in arms if arm.name == primary["treatment"])
    difference = _estimate(primary, index, f"{primary['treatment']} {MINUS} {primary['control']}")
    metric = METRICS[primary["metric"]][0]
    secondary = [{**contrast, "label": METRICS[contrast["metric"]][0]} for contrast in statistics["secondary"]]
    return {
        "primary": primary,
        "metric": metric,
        "seeds_known": None not in (primary["components"][f"{role}_seed_se"] for role in ("treatment", "control")),
        "secondary": secondary,
        "seeds": [row for row in statistics["seeds"] if _measures(row, primary)],
        "exclusions": statistics["prereg"]["entry"]["exclusions"],
        "confidence": f"{100 * primary['confidence']:g}%",
        "method": statistics["method"],
        "prereg": statistics["prereg"]["sha256"],
        "rates": forest(f"{metric}, {primary['split']} items", "rate", rates, (0.0, 1.0)),
        "difference": forest(
            "Difference", "percentage points", [difference], around_zero(primary["low"], primary["high"]), signed=True
        ),
    }


def table_section(results: Results, statistics: dict[str, Any], arms: list[Arm]) -> dict[str, Any]:
    """By suite: each fine-tuned model's free answers by metric and split, what else was measured of every model, what an
    answer would score that never changes, and how many items were left out."""
    suites = []
    for suite in dict.fromkeys(row["suite"] for row in statistics["table"]):
        mine = [row for row in statistics["table"] if row["suite"] == suite]
        splits = [split for split in SPLITS if any(row["split"] == split for row in mine)]
        # Of seen and unseen the mean says nothing, and one of them alone is all there is.
        splits = splits[1:] or splits
        groups = []
        for metric, (label, meaning) in METRICS.items():
            rows = [
                (arm, [find_row(statistics, arm.name, suite, split, metric, "free") for split in splits])
                for arm in arms
            ]
            if any(cell for _, cells in rows for cell in cells):
                groups.append({"label": label, "meaning": meaning, "rows": rows, "share": metric != "nll_per_byte"})
        made = results.find("evaluate", "items", f"items-{suite}")
        counted = (
            {key: made.metrics[key] for key in ("baselines", "excluded")} if made else {"baselines": {}, "excluded": 0}
        )
        suites.append({"name": suite, "splits": splits, "groups": groups, "variants": _variants(mine, arms), **counted})
    return {"suites": suites}


def _variants(rows: list[dict[str, Any]], arms: list[Arm]) -> list[dict[str, Any]]:
    """Base and fine-tuned, free and constrained, on unseen items, for metrics measured in both modes or variants."""
    columns = [("base", "free"), ("base", "constrained"), ("tuned", "free"), ("tuned", "constrained")]
    found = {
        (row["model"], row["variant"], row["mode"], row["metric"]): row
        for row in rows
        if row["split"] == "unseen" and row["mean"] is not None
    }
    there = [column for column in columns if any(key[1:3] == column for key in found)]
    groups = []
    for metric in ("parse", "schema_valid", "exact", "ast", "execution", "truncated"):
        lines = [(arm, [found.get((arm.name, *column, metric)) for column in there]) for arm in arms]
        if any(cell for _, cells in lines for cell in cells):
            groups.append({"label": METRICS[metric][0], "rows": lines})
    return [{"columns": [f"{variant}, {mode}" for variant, mode in there], "groups": groups}] if len(there) > 1 else []


def find_row(
    statistics: dict[str, Any], model: str, suite: str, split: str, metric: str, mode: str
) -> dict[str, Any] | None:
    """The fine-tuned model's row of the table, None when it is not there or has no items."""
    wanted = (model, "tuned", suite, split, metric, mode)
    keys = ("model", "variant", "suite", "split", "metric", "mode")
    for row in statistics["table"]:
        if tuple(row[key] for key in keys) == wanted and row["mean"] is not None:
            return row
    return None


def _measures(row: dict[str, Any], contrast: dict[str, Any]) -> bool:
    return all(row[key] == contrast[key] for key in ("suite", "split", "mode", "metric"))


def _estimate(contrast: dict[str, Any], index: int, label: str) -> Estimate:
    text = f"{points(contrast['difference'])}  [{points(contrast['low'])}, {points(contrast['high'])}]"
    return Estimate(label, index, contrast["difference"], contrast["low"], contrast["high"], text)


def _interval(row: dict[str, Any]) -> str:
    return f"{percent(row['mean'])}  [{percent(row['low'])}, {percent(row['high'])}]"
