"""How good the classifiers are that the curation relies on, where their labels come from, and how far those agree."""

from typing import Any

from trellis.report.charts import Chart, HeatMap, Series, heat_map, line_chart
from trellis.report.results import Results, read_json

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
    "classes": (
        "Rubrics that answer with one class",
        (
            ("accuracy", "Accuracy", 3),
            ("accuracy_of_the_commonest", "Accuracy of always saying the commonest", 3),
            ("macro_f1", "Macro-F1", 3),
        ),
    ),
}
AGREEMENT = (("alpha", "Krippendorff's alpha", 3), ("kappa", "Kappa", 3))
LABELLINGS = {
    "repeats": "the labeller against itself",
    "second": "the labeller against a second model",
    "human": "the labeller against people",
}
# The axes of a reliability chart: what was said, and what was so.
AXES = {
    "multi_label": ("Mean score", "Share true"),
    "classes": ("Mean probability of the likeliest class", "Share right"),
    "ordinal": ("Mean score", "Mean label"),
}
# The colours of the diagonal and of the curve.
CALIBRATED, FOUND = 5, 0


def classifiers_section(results: Results) -> dict[str, Any]:
    """Every classifier of the study, and the names of the rubrics that were labelled by heuristics."""
    labelled = {made.name.removeprefix("labels-"): made for made in results.of("classify", "label")}
    trained = {made.name.removeprefix("classifier-"): made for made in results.of("classify", "train")}
    found = {
        name: _classifier(name, labels.metrics, trained[name].metrics if name in trained else {})
        for name, labels in labelled.items()
    }
    for name, made in trained.items():
        if name in found and any(file.path == "diagnostics.json" for file in made.files):
            found[name]["diagnostics"] = _diagnostics(read_json(made.path("diagnostics.json")))
    rubrics = [item for labels in labelled.values() for item in labels.metrics["rubrics"].items()]
    heuristic = list(dict.fromkeys(name for name, rubric in rubrics if rubric["origins"].get("heuristic")))
    return {"classifiers": list(found.values()), "heuristic": heuristic}


def _classifier(name: str, labels: dict[str, Any], trained: dict[str, Any]) -> dict[str, Any]:
    """By scale and rubric: the origin of its labels, the quality on the test split in all and by origin, and how far the
    labels themselves agree."""
    quality, tables = trained.get("rubrics", {}), []
    for scale, (caption, measures) in SCALES.items():
        rubrics = [
            {"name": rubric, "labels": found, "rows": _rows(quality.get(rubric), found.get("agreement", {}))}
            for rubric, found in labels["rubrics"].items()
            if found["scale"] == scale
        ]
        agreed = AGREEMENT if any(rubric["labels"].get("agreement") for rubric in rubrics) else ()
        if rubrics:
            tables.append({"caption": caption, "measures": (*measures, *agreed), "rubrics": rubrics})
    return {
        "name": name,
        "documents": labels["documents"],
        "epochs": trained.get("epochs", []),
        "selected_epoch": trained.get("selected_epoch"),
        "tables": tables,
        "by_label": {name: found["by_label"] for name, found in quality.items() if found.get("by_label")},
        "reliability": [_reliability(name, found) for name, found in quality.items() if found.get("reliability")],
        "confusion": [_confusion(name, found) for name, found in quality.items() if found.get("confusion")],
        "diagnostics": None,
    }


def _rows(measured: dict[str, Any] | None, agreement: dict[str, dict]) -> list[tuple[str, dict[str, Any]]]:
    """(what is measured against what, measures): all labels, each origin where there is more than one, and what the labels
    reach against other labels: no classifier can be expected to do better."""
    if measured is None:
        return []
    by_origin = measured.get("by_origin", {})
    origins = [*by_origin.items()] if len(by_origin) > 1 else []
    ceilings = [(words, agreement[name]) for name, words in LABELLINGS.items() if name in agreement]
    return [("all labels", measured), *origins, *ceilings]


def _reliability(rubric: str, found: dict[str, Any]) -> dict[str, Any]:
    """The curve of a rubric beside the diagonal on which a calibrated one would lie; no chart where nothing was measured."""
    low, high = (found["levels"][0], found["levels"][-1]) if found["scale"] == "ordinal" else (0, 1)
    diagonal = Series("calibrated", CALIBRATED, [(low, low), (high, high)])
    bins = found["reliability"]["bins"]
    points = [(each["predicted"], each["observed"]) for each in bins if each["n"]]
    curves = [diagonal, Series(rubric, FOUND, points, marked=True)]
    return {
        "rubric": rubric,
        "error": found["reliability"]["error"],
        "ordinal": found["scale"] == "ordinal",
        "answers": sum(each["n"] for each in bins),
        "chart": line_chart(f"Reliability of {rubric}", *AXES[found["scale"]], curves) if points else None,
    }


def _confusion(rubric: str, found: dict[str, Any]) -> Chart:
    levels = [str(level) for level in found.get("levels", [])]
    title = f"{rubric}: documents by label (rows) and by the classifier's answer (columns)"
    return heat_map(title, HeatMap(levels or found["labels"], levels or None, found["confusion"]))


def _diagnostics(found: dict[str, Any]) -> dict[str, Any]:
    """Charts of counts on the validation split, and how many labels the documents hold."""
    charts = []
    for rubric, histogram in found["histograms"].items():
        counts = histogram["counts"] if isinstance(histogram["counts"], dict) else {rubric: histogram["counts"]}
        edges = [f"{edge:g}" if place % 4 == 0 else "" for place, edge in enumerate(histogram["edges"][:-1])]
        title = f"{rubric}: documents by score"
        charts.append(heat_map(title, HeatMap(list(counts), edges, list(counts.values()), by_row=True)))
    for rubric, together in found["co_occurrence"].items():
        title = f"{rubric}: documents that hold both labels"
        charts.append(heat_map(title, HeatMap(together["labels"], None, together["counts"], by_row=True)))
    for each in found["heat_maps"]:
        title = f"{each['rubrics'][0]} (rows) by level of {each['rubrics'][1]} (columns): documents"
        columns = [str(level) for level in each["levels"]]
        charts.append(heat_map(title, HeatMap(each["labels"], columns, each["counts"])))
    labels = {
        rubric: [(number, count) for number, count in enumerate(together["documents_by_number_of_labels"]) if count]
        for rubric, together in found["co_occurrence"].items()
    }
    return {"documents": found["documents"], "charts": charts, "labels": labels}
