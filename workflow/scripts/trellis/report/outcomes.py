"""What the answers fail by, how near the schemas of fine-tuning are, what a grammar adds, and what else the models know."""

from typing import Any

from trellis.report.charts import Bar, Series, line_chart, stacked_bars
from trellis.report.comparison import METRICS
from trellis.report.study import Arm
from trellis.report.wording import plural

PARTS = {
    "correct": "correct",
    "wrong_value": "valid, other values",
    "bad_schema": "JSON, not valid",
    "no_parse": "no JSON",
    "truncated": "cut off",
}


def outcomes_section(statistics: dict[str, Any], arms: list[Arm]) -> dict[str, Any]:
    """Charts of the primary comparison's suite, and tables of all suites."""
    primary = statistics["primary"]
    return {
        "suite": primary["suite"],
        "metric": METRICS[primary["metric"]][0],
        "split": primary["split"],
        "parts": PARTS,
        "decomposition": _decomposition(statistics, arms, primary),
        "similarity": _similarity(statistics, arms, primary),
        "format_tax": [
            {**row, "label": METRICS[row["metric"]][0]} for row in statistics["format_tax"] if row["split"] == "unseen"
        ],
        "interactions": [{**row, "label": METRICS[row["metric"]][0]} for row in statistics["interactions"]],
        "knowledge": _knowledge(statistics["knowledge"], arms),
    }


def _decomposition(statistics: dict[str, Any], arms: list[Arm], primary: dict[str, Any]):
    """A bar per model and variant, of free answers on the primary comparison's split; None without a schema."""
    bars = []
    for arm in arms:
        for variant in ("tuned", "base"):
            for row in statistics["decomposition"]:
                where = (row["model"], row["variant"], row["suite"], row["split"], row["mode"])
                if where == (arm.name, variant, primary["suite"], primary["split"], "free"):
                    label = f"{arm.name}, {'fine-tuned' if variant == 'tuned' else 'base'}"
                    parts = [(f"outcome-{part}", row[part]) for part in PARTS]
                    bars.append(Bar(label, parts, plural(row["items"], "item")))
    return stacked_bars("Kinds of answers", bars) if bars else None


def _similarity(statistics: dict[str, Any], arms: list[Arm], primary: dict[str, Any]):
    """The primary metric over the similarity of an item's schema to the nearest of fine-tuning; None where the items lie in
    one or two bars, between which a line would tell of what was not measured."""
    wanted = (primary["suite"], primary["mode"], primary["metric"])
    for found in statistics["by_similarity"]:
        if (found["suite"], found["mode"], found["metric"]) == wanted and len(found["bins"]) > 2:
            curves = []
            for arm in arms:
                points = [
                    ((row["low"] + row["high"]) / 2, 100 * row["models"][arm.name]["mean"])
                    for row in found["bins"]
                    if arm.name in row["models"]
                ]
                curves.append(Series(arm.name, arm.index, points, marked=True))
            label = "similarity to the nearest schema of fine-tuning"
            return line_chart(
                "Accuracy by similarity", label, METRICS[primary["metric"]][0], [c for c in curves if c.points]
            )
    return None


def _knowledge(rows: list[dict[str, Any]], arms: list[Arm]) -> dict[str, Any] | None:
    """A line per task and metric, a column per model and variant; None where nothing was asked."""
    if not rows:
        return None
    columns = [(arm.name, variant) for arm in arms for variant in ("base", "tuned")]
    found = {(row["task"], row["metric"], row["model"], row["variant"]): row for row in rows}
    lines = sorted({(row["task"], row["metric"]) for row in rows})
    return {
        "columns": columns,
        "rows": [(*line, [found.get((*line, *column)) for column in columns]) for line in lines],
    }
