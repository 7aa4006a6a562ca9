"""Loss curves of pretraining and fine-tuning, from each training's metrics.jsonl, and what fine-tuning took of each set."""

from typing import Any

from trellis.records import read_records
from trellis.report.charts import Chart, Series, line_chart
from trellis.report.results import Results
from trellis.report.study import Arm, tuned_names

SMOOTHING = 0.9
METRICS_FILE = "metrics.jsonl"
# Why sft_data leaves out a conversation that it could read, in the order of its tests.
LEFT_OUT = ("too_long", "format", "similar", "contaminated")


def pretraining_section(results: Results, experiment: dict[str, Any], arms: list[Arm]) -> dict[str, Any]:
    """Charts of training and validation loss, a row per model, and its last validation by source ({source: {loss,
    bits_per_byte}}); models without a pretraining here are named."""
    trained, validated, rows, by_source, elsewhere = [], [], [], {}, []
    for arm in arms:
        made = results.find("pretrain", "train", arm.name)
        if made is None:
            elsewhere.append(arm.name)
            continue
        losses, validations = [], []
        for line in read_records(made.path(METRICS_FILE)):
            if line.get("loss") is not None:
                losses.append((line["step"], line["loss"]))
            if line.get("validation"):
                validations.append((line["step"], line["validation"]))
        trained.append(Series(arm.name, arm.index, smoothed(losses)))
        validated.append(Series(arm.name, arm.index, [(step, found["loss"]) for step, found in validations], True))
        rows.append((arm, made.metrics))
        if validations:
            by_source[arm.name] = validations[-1][1]["sources"]
    unit = f"optimizer step ({experiment['pretraining']['batch_tokens']:,} tokens each)"
    return {
        "training": _chart("Training loss", unit, trained),
        "validation": _chart("Validation loss", unit, validated),
        "rows": rows,
        "by_source": by_source,
        "sources": list(experiment["sources"]),
        "elsewhere": elsewhere,
    }


def tuning_section(results: Results, experiment: dict[str, Any], arms: list[Arm]) -> dict[str, Any]:
    """The chart of the fine-tuning losses (the first seed of each model), a row per model and seed, and one per set of
    conversations."""
    by_name = {arm.name: arm for arm in arms}
    curves, rows = [], []
    for model, seed, name in tuned_names(experiment):
        made = results.find("sft", "train", name)
        if made is None:
            continue
        rows.append((by_name[model], seed, made.metrics))
        if not any(curve.label == model for curve in curves):
            lines = read_records(made.path(METRICS_FILE))
            losses = [(line["step"], line["loss"]) for line in lines if line.get("loss") is not None]
            curves.append(Series(model, by_name[model].index, smoothed(losses)))
    unit = f"optimizer step ({experiment['sft']['training']['batch']:,} examples each)"
    data = results.find("sft", "data")
    sets = data.metrics.get("sets", {}) if data else {}
    return {
        "training": _chart("Fine-tuning loss", unit, curves),
        "rows": rows,
        "sets": [_set_row(repo, found) for repo, found in sorted(sets.items())],
    }


def _set_row(repo: str, found: dict[str, Any]) -> dict[str, Any]:
    """What became of a set's rows; `set_aside` and `left_out` are (rows, the reasons in words)."""
    left_out = {reason: found[reason] for reason in LEFT_OUT}
    counted = {key: found[key] for key in ("rows", "examples", "tokens")}
    return {"repo": repo, **counted, "set_aside": _reasons(found["set_aside"]), "left_out": _reasons(left_out)}


def _reasons(counts: dict[str, int]) -> tuple[int, str]:
    words = (f"{reason.replace('_', ' ')} {number:,}" for reason, number in counts.items() if number)
    return sum(counts.values()), ", ".join(words)


def smoothed(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Exponential moving average over the logged steps, corrected for its start (as Adam's moments are)."""
    average, weight, out = 0.0, 0.0, []
    for x, y in points:
        average = SMOOTHING * average + (1 - SMOOTHING) * y
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        out.append((x, average / weight))
    return out


def _chart(title: str, unit: str, curves: list[Series]) -> Chart | None:
    """None where there is nothing to draw."""
    curves = [curve for curve in curves if curve.points]
    return line_chart(title, unit, "loss (nats per token)", curves) if curves else None
