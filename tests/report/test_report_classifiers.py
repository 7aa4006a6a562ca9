"""The classifiers' section: every classifier, true to its metrics, its ceilings beside it, its charts whole."""

import re
from html import unescape

from trellis.manifest import Manifest
from trellis.report.classifiers import classifiers_section
from trellis.report.results import Results

MEASURED = {
    "scale": "classes",
    "documents": 90,
    "accuracy": 0.8444,
    "accuracy_of_the_commonest": 0.4333,
    "macro_f1": 0.7012,
    "labels": ["library", "test"],
    "by_origin": {},
    "by_label": {
        "library": {"precision": 0.8, "recall": 0.9111, "f1": 0.852, "support": 45, "predicted": 51},
        "test": {"precision": None, "recall": 0.0, "f1": 0.0, "support": 45, "predicted": 0},
    },
    "confusion": [[41, 4], [10, 35]],
    "reliability": {"error": 0.0432, "bins": [{"n": 0, "predicted": None, "observed": None}] * 8}
    | {"bins": [{"n": 40, "predicted": 0.85, "observed": 0.8}, {"n": 50, "predicted": 0.95, "observed": 0.88}]},
}
DIAGNOSTICS = {
    "documents": 77,
    "histograms": {
        "topics": {"edges": [n / 20 for n in range(21)], "counts": {"maths": [7] * 11 + [0] * 9, "law": [0] * 20}},
        "complexity": {"edges": [1 + n / 5 for n in range(21)], "counts": [0] * 19 + [77]},
    },
    "co_occurrence": {
        "topics": {
            "labels": ["maths", "law"],
            "counts": [[33, 5], [5, 9]],
            "documents_by_number_of_labels": [40, 32, 5],
        }
    },
    "heat_maps": [
        {"rubrics": ["topics", "complexity"], "labels": ["maths", "law"], "levels": [1, 2], "counts": [[3, 30], [9, 0]]}
    ],
}


def add_second(study, agreement=None):
    labelled = {"version": 3, "scale": "classes", "labelled": 900, "heuristic": None, "origins": {"model:tiny": 900}}
    rubrics = {"content_type": {**labelled, "classes": {}, **({"agreement": agreement} if agreement else {})}}
    study.add("classify", "label", "labels-code", metrics={"documents": 901, "rubrics": rubrics})
    metrics = {"rubrics": {"content_type": MEASURED}, "selected_epoch": 2, "epochs": [{"epoch": n} for n in (1, 2, 3)]}
    study.add("classify", "train", "classifier-code", {"diagnostics.json": DIAGNOSTICS}, metrics)


def section(html):
    return html[html.index('<section id="classifiers">') : html.index('<section id="samples">')]


def words_of(html):
    """The text, cells apart."""
    return " ".join(unescape(re.sub("<[^>]*>", "", re.sub("<t[dh]", " <", html))).split())


def test_every_classifier_has_its_numbers(study, report):
    study.build_all()
    add_second(study)
    words = words_of(section(report(study)[1]))
    assert "Classifier all 800 documents were labelled." in words
    assert "Classifier code 901 documents were labelled. Of 3 epochs, the classifier is that of epoch 2." in words
    assert "all labels 81 0.812 0.790 – 9" in words
    assert "content_type version 3; 900 labelled: 900 model:tiny" in words
    assert "all labels 90 0.844 0.433 0.701" in words
    assert "library – 0.800 0.911 0.852 45 51 –" in words and "test – – 0.000 0.000 45 0 –" in words
    assert "Expected calibration error 0.043." in words
    assert "Labels of topics per document: 0 in 40, 1 in 32, 2 in 5." in words
    assert "Krippendorff" not in words


def test_the_labels_own_agreement_stands_beside_the_classifier(study, report):
    study.build_all()
    repeats = {"documents": 40, "pairs": 120, "alpha": 0.7123, "kappa": 0.7011}
    add_second(study, {"repeats": repeats, "human": {**repeats, "documents": 25, "alpha": None}})
    words = words_of(section(report(study)[1]))
    assert "the labeller against itself 40 – – – 0.712 0.701" in words
    assert "the labeller against people 25 – – – – 0.701" in words


def test_counts_are_drawn_where_they_belong(study, report):
    study.build_all()
    add_second(study)
    html = section(report(study)[1])
    heat = html[html.index("topics (rows) by level") :].split("</svg>")[0]
    shades = [float(shade) for shade in re.findall(r'fill-opacity="([\d.]+)"', heat)]
    assert shades == [0.24, 0.75, 0.41, 0.0]
    assert re.findall(r">(\d+)</text>", heat) == ["1", "2", "3", "30", "9"]
    assert re.findall(r">(\d) (\w+)</text>", html) == [("1", "library"), ("2", "test"), ("1", "maths"), ("2", "law")]
    assert "style=" not in html


def test_a_rubric_of_which_the_test_split_has_nothing_breaks_nothing(study, report, monkeypatch):
    nothing = {**MEASURED, "documents": 0, "accuracy": None, "accuracy_of_the_commonest": None, "macro_f1": None}
    bins = [{"n": 0, "predicted": None, "observed": None}] * 10
    nothing |= {"confusion": [[0, 0], [0, 0]], "reliability": {"error": None, "bins": bins}}
    monkeypatch.setitem(globals(), "MEASURED", nothing)
    study.build_all()
    add_second(study)
    words = words_of(section(report(study)[1]))
    assert "all labels 0 – – –" in words and "Expected calibration error" not in words


def test_rubrics_labelled_by_rules_are_named_once_whichever_classifier_has_them(study, report):
    study.build_all()
    add_second(study)
    rubric = {"version": 1, "scale": "ordinal", "labelled": 5, "heuristic": "cues", "origins": {"heuristic": 5}}
    rubrics = {"complexity": rubric, "structured_data": rubric}
    study.add("classify", "label", "labels-untrained", metrics={"documents": 5, "rubrics": rubrics})
    found = classifiers_section(Results([Manifest.read(folder) for folder in study.folders]))
    assert sorted(found["heuristic"]) == ["complexity", "structured_data", "topics"]
    assert "No classifier was trained on it here" in words_of(report(study)[1])
