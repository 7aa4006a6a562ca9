"""What the study cost: seconds, memory and threads of every job, as its manifest recorded them."""

from typing import Any

from trellis.report.results import Results

SPEED = ("tokens_per_second", "mfu", "hfu", "peak_gpu_mib", "gpus", "hardware")


def costs_section(results: Results) -> dict[str, Any]:
    """Rows by stage (jobs, summed seconds, highest memory), by job, and the speed of every pretraining, None for what was
    not measured."""
    stages: dict[str, dict[str, Any]] = {}
    for made in results.manifests:
        run = made.run
        row = stages.setdefault(made.stage, {"jobs": 0, "seconds": 0.0, "peak_mib": 0.0, "threads": 0})
        row["jobs"] += 1
        row["seconds"] += run["seconds"]
        row["peak_mib"] = max(row["peak_mib"], run["peak_mib"])
        row["threads"] = max(row["threads"], run["threads"])
    longest = max((row["seconds"] for row in stages.values()), default=0.0) or 1.0
    for row in stages.values():
        row["share"] = row["seconds"] / longest
    return {
        "stages": stages,
        "jobs": results.manifests,
        "pretrainings": [
            (made.name, {key: made.run.get(key) for key in SPEED}) for made in results.of("pretrain", "train")
        ],
        "seconds": sum(row["seconds"] for row in stages.values()),
        "peak_mib": max((row["peak_mib"] for row in stages.values()), default=0.0),
    }
