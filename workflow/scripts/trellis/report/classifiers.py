"""How good the classifiers are that the curation relies on, and where their labels come from."""

from typing import Any

from trellis.report.results import Results

# By the scale of a rubric: what it is, and the measures of its quality as (key, words, decimals).
SCALES = {
    "multi_label": (
        "Rubrics that answer with a set of labels",
        (
            ("micro_f1", "Micro-F1", 3),
            ("micro_f1_at_half", "Micro-F1 at threshold 0.5", 3),
            ("macro_f1", "Macro-F1", 3),
            ("labels_that_occur", "Labels that occur", 0),
        ),
    ),
    "ordinal": (
        "Rubrics that answer with a level",
        (
            ("spearman", "Spearman's rho", 3),
            ("mae", "Mean absolute error (levels)", 3),
            ("mae_of_the_mean", "Error of always saying the mean", 3),
        ),
    ),
}


def classifiers_section(results: Results) -> dict[str, Any]:
    """By scale and rubric: the origin of its labels, and the quality on the test split, in all and by origin."""
    labels, trained = results.find("classify", "label"), results.find("classify", "train")
    labelled = labels.metrics["rubrics"] if labels else {}
    quality = trained.metrics["rubrics"] if trained else {}
    tables = []
    for scale, (caption, measures) in SCALES.items():
        rubrics = [
            {"name": name, "labels": found, "rows": _rows(quality.get(name))}
            for name, found in labelled.items()
            if found["scale"] == scale
        ]
        if rubrics:
            tables.append({"caption": caption, "measures": measures, "rubrics": rubrics})
    heuristic = [name for name, found in labelled.items() if found["origins"].get("heuristic")]
    return {"tables": tables, "heuristic": heuristic, "documents": labels.metrics["documents"] if labels else None}


def _rows(measured: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    """(which labels, measures): all labels, then each origin where there is more than one."""
    if measured is None:
        return []
    by_origin = measured.get("by_origin", {})
    return [("all labels", measured), *([*by_origin.items()] if len(by_origin) > 1 else [])]
