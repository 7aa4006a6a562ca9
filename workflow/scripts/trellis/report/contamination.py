"""What was found of the evaluation's texts in what the models were trained on."""

from collections.abc import Iterable
from typing import Any

from trellis.manifest import Manifest
from trellis.report.results import Results

HOW = {"words": "by words", "schema": "the same schema", "names": "its properties", "structure": "its structure"}


def contamination_section(results: Results, experiment: dict[str, Any]) -> dict[str, Any] | None:
    """Documents of each source by suite, by how they gave a text away, and by n-gram size; conversations by suite. None
    where nothing was looked for."""
    found = results.of("filter", "features")
    if not found or "reference" not in found[0].metrics:
        return None
    rows = [_row(found, source) for source in experiment["sources"]]
    tuning = results.find("sft", "data")
    return {
        "reference": found[0].metrics["reference"],
        "suites": sorted({suite for row in rows for suite in row["suites"]}),
        "sizes": sorted({int(size) for row in rows for size in row["sizes"]}),
        "how": HOW,
        "rows": rows,
        "conversations": tuning.metrics.get("contaminated") if tuning else None,
        "removed": experiment["filter"]["decontamination"]["remove"],
    }


def _row(found: list[Manifest], source: str) -> dict[str, Any]:
    """One source, summed over its shards."""
    parts = [made.metrics["sources"][source] for made in found if source in made.metrics["sources"]]
    by_size = [{int(size): sum(suites.values()) for size, suites in part["sensitivity"].items()} for part in parts]
    return {
        "source": source,
        "documents": sum(part["documents"] for part in parts),
        "suites": _summed(part["contaminated"] for part in parts),
        "how": _summed(part["contaminated_how"] for part in parts),
        "sizes": _summed(by_size),
    }


def _summed(counts: Iterable[dict[Any, int]]) -> dict[Any, int]:
    total: dict[Any, int] = {}
    for each in counts:
        for name, number in each.items():
            total[name] = total.get(name, 0) + number
    return total
