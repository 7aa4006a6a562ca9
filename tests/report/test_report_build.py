"""The page: complete, true to the files, the same bytes twice, and inert whatever the models and documents say."""

import json

import pytest

from html_page import Page
from trellis.errors import TrellisError
from trellis.published import fingerprint_of
from trellis.report.wording import count, percent

HOSTILE = (
    '<script>alert(1)</script><img src=x onerror="alert(2)">\'"></pre></textarea><a href="javascript:alert(3)">x</a>'
    "{{ 7 * 7 }}{% raw %}&lt;b&gt;\x00\x1b[31m\u202etxt.exe\u2066\u200b\ufeff\ud800\U000e0041"
)
SECTIONS = [
    "answer",
    "headline",
    "models",
    "outcomes",
    "training",
    "curation",
    "classifiers",
    "samples",
    "costs",
    "provenance",
]


def test_every_section_is_there_in_order(study, report):
    made, html = report(study.build_all())
    page = Page(html)
    assert [attributes["id"] for tag, attributes in page.elements if tag == "section"] == SECTIONS
    assert made.metrics == {"verdict": "cannot tell", "difference": 0.083, "low": 0.021, "high": 0.146, "samples": 12}


def test_fingerprint_stands_where_the_workflow_looks(study, report):
    made, html = report(study.build_all())
    assert fingerprint_of(made.path("report.html")) == made.fingerprint
    assert html.encode().index(made.fingerprint.encode()) < 2048


def test_same_inputs_same_bytes(study, report):
    study.build_all()
    assert report(study, out="one")[1] == report(study, out="two")[1]


def test_a_source_of_the_hub_is_summed_over_its_shards_and_its_repository_named(study, report):
    study.build_all()
    name = next(iter(study.experiment["sources"]))
    part = {"kind": "hub", "repo": "someone/pages", "files": ["*.parquet"], "reader": "text_column"}
    study.experiment["sources"][name]["parts"] = [part]
    study.folders = [folder for folder in study.folders if folder.name != f"{name}-ingest"]
    for number, documents in enumerate((4_000, 321)):
        metrics = {"source": name, "documents": documents, "bytes": 9_000, "rejected": {"too_short": number + 1}}
        study.add("download", "shard", f"{name}-000-{number:03}", metrics=metrics)
    for number in range(2):
        fetched = {"repo": "datasets/someone/pages", "files": 2, "bytes": 500_000}
        study.add("download", "hub", f"hub-pages-{number}", metrics=fetched)
    card = {"revision": "0123456789abcdef" * 2 + "01234567", "licence": "ODC-BY-1.0 by its card", "gated": True}
    study.repositories = {"datasets/someone/pages": card}
    words = Page(report(study)[1]).words()
    assert f"{name} 4,321 4,321 18,000" in words
    assert "too short 3" in words
    assert "datasets/someone/pages 0123456789ab ODC-BY-1.0 by its card yes 4 1,000,000" in words


def test_contamination_is_summed_over_shards_and_counts_what_fine_tuning_left_out(study, report):
    study.build_all()
    study.folders = [folder for folder in study.folders if folder.name != "features-features"]
    first, *others = study.experiment["sources"]
    for number, sources in enumerate(([first], [first, *others])):
        counted = {
            name: {
                **{"documents": 2_000, "tokens": 7, "tokens_reference": 5},
                "contaminated": {"bfcl": 3 if name == first else 0, "schema": 0},
                "contaminated_how": {"words": 2 if name == first else 0, "structure": 1 if name == first else 0},
                "sensitivity": {"8": {"bfcl": 11}, "13": {"bfcl": 0}},
            }
            for name in sources
        }
        metrics = {"sources": counted, "reference": {"texts": 3_661, "schemas": 16, "unchecked": 245}}
        study.add("filter", "features", f"features-{number}", metrics=metrics)
    study.add("sft", "data", "data", metrics={"contaminated": {"bfcl": 17, "schema": 4}})
    words = Page(report(study)[1]).words()
    assert "Looked for: 3,661 texts, 16 with a schema" in words
    assert f"{first} 4,000 6 0 4 0 0 2 22 0" in words
    assert "Conversations for fine-tuning that did: 21." in words


def test_numbers_are_those_of_the_files(study, report):
    words = Page(report(study.build_all())[1]).words()
    for row in study.statistics()["table"]:
        written = f"{percent(row['mean'])} [{percent(row['low'])}, {percent(row['high'])}]"
        if (row["variant"], row["mode"]) == ("tuned", "free") and row["split"] != "all":
            assert f"{written} n {row['n_items']}" in words
        elif row["split"] == "all" and row["metric"] in ("parse", "schema_valid", "exact"):
            assert written in words
    for name, mixture in study.experiment["mixtures"].items():
        for source, share in mixture["sources"].items():
            asked, rows = share["tokens"], share["tokens"] // 256
            assert f"{source} {count(asked)} 158,000 50.0% {count(rows * 256)} {rows} 0.11 – 2.10 2.90" in words, (
                name,
                source,
            )
    assert "finemath 900 502 3,703,701 70,003 50,003 0" in words
    assert "pes2o 900 503 4,938,268 70,004 50,004 8 bad encoding 1, too short 7" in words
    assert "finemath subjects 500 31 4 10 7 53 195 200" in words
    assert "finemath not in it 500 31 4 10 7 53 395 0" in words
    assert "finemath subjects 200,000 12,400 1,600 4,000 2,800 21,200 78,000 80,000" in words
    assert "formal sciences 20.0% 45.0% 71,000 32,100 40.1% 61.3%" in words
    assert "complexity from 2.5 40.0% – 71,000 32,100 40.1% –" in words
    assert "ultrachat wikipedia 31" in words
    assert "classifier-all classify_train 48.0 s 1,504 1" in words


def test_an_arm_is_called_one_and_tokens_are_summed_over_shards(study, report):
    study.build_all()
    study.experiment["mixtures"]["uncurated"]["arm"] = "complexity_only"
    study.add_curation()
    study.add("filter", "features", "features-pes2o-001", metrics={"sources": {"pes2o": {"tokens": 1_000_000}}})
    words = Page(report(study)[1]).words()
    assert words.count("its rules choose by complexity alone") == 1
    assert "pes2o 900 503 4,938,268 1,070,004 50,004" in words


def test_page_reaches_for_nothing(study, report):
    html = report(study.build_all())[1]
    page = Page(html)
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert html.index("Content-Security-Policy") < html.index("<style>")
    assert not {"script", "link", "iframe", "object", "embed", "img", "a", "form", "base"} & {
        t for t, _ in page.elements
    }
    assert "url(" not in html and "@import" not in html and "://" not in html.replace(page.text, "")
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name in ("href", "src", "xlink:href") for name in attributes)


def test_hostile_text_is_shown_and_never_markup(study, report):
    """Outputs, prompts, expected objects, and every name that comes from elsewhere."""
    plain = {tag for tag, _ in Page(report(study.build_all())[1]).elements}
    items, output = study.items, study.output
    study.items = lambda: [
        {**item, "messages": [{"role": HOSTILE, "content": HOSTILE}], "gold": item["gold"] and {"city": HOSTILE}}
        for item in items()
    ]
    study.output = lambda model, number: output(model, number).replace("Lima", HOSTILE)
    # Neither a config nor a manifest can hold a lone surrogate; all the rest they can.
    name = HOSTILE.replace("\ud800", "")
    study.experiment["title"] = name
    for source in study.experiment["sources"].values():
        source["licence"] = source["stands_for"] = name
    study.add_evaluation()
    study.add("evaluate", "compare", "compare", {"statistics.json": study.statistics()}, hardware=name, commit=name)
    html = report(study)[1]
    page = Page(html)
    assert {tag for tag, _ in page.elements} == plain
    assert not [a for _, a in page.elements if any(name.startswith("on") or name in ("href", "src") for name in a)]
    assert '<script>alert(1)</script><img src=x onerror="alert(2)">' in page.text
    assert "{{ 7 * 7 }}{% raw %}&lt;b&gt;" in page.text
    for code in ("U+0000", "U+001B", "U+202E", "U+2066", "U+200B", "U+FEFF", "U+D800", "U+E0041"):
        assert f"⟨{code}⟩" in page.text
    assert not set(html) & set("\x00\x1b\u202e\u2066\u200b\ufeff\U000e0041")


def test_differing_fine_tuning_is_said_loudly_and_costs_the_verdict(study, report):
    study.build_all()
    model = study.models[1]
    folder = next(folder for folder in study.folders if folder.name == f"{model}-s0-train")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["metrics"]["order_sha256"] = "c" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    made, html = report(study)
    words = Page(html).words()
    assert made.metrics["verdict"] == "cannot tell"
    assert "Fine-tuning was NOT identical: at seed 0 the order of the examples differs between" in words
    assert "because its models were not fine-tuned identically" in words
    assert "after identical fine-tuning" not in words


def test_identical_fine_tuning_is_said(study, report):
    words = Page(report(study.build_all())[1]).words()
    assert f"all {len(study.models)} models saw the same 9,600 examples in the same order" in words


def test_missing_parts_are_named_and_the_rest_stands(study, report):
    study.build_all()
    model = study.models[-1]
    missing = {("pretrain", f"{model}-train"), ("classify", "labels-all-label"), ("classify", "classifier-all-train")}
    missing |= {("filter", "select-curated-select"), ("download", "finemath-ingest")}
    study.folders = [folder for folder in study.folders if (folder.parent.name, folder.name) not in missing]
    words = Page(report(study)[1]).words()
    assert f"{model} was not pretrained here, so there is no loss curve for it" in words
    assert "This study trained no classifier" in words
    assert "Nothing was selected for this mixture here" in words
    assert "finemath was not read by this study" in words


def test_no_samples_asked_for(study, report):
    made, html = report(study.build_all(), samples=0)
    assert made.metrics["samples"] == 0
    assert "No samples are shown" in Page(html).words()


def test_without_a_comparison_there_is_no_report(study, report):
    study.add_data()
    with pytest.raises(TrellisError, match="no result of evaluate_compare"):
        report(study)


@pytest.mark.parametrize(
    ("commit", "statement"),
    [
        ("25270a6b1c2d", "made from commit 25270a6b1c2d, whose tree holds that config"),
        ("25270a6b1c2d-dirty", "changes that were not committed, so the history alone does not prove"),
        ("unknown", "outside a git repository"),
    ],
)
def test_what_the_commit_proves(study, report, commit, statement):
    study.build_all()
    study.add("evaluate", "compare", "compare", {"statistics.json": study.statistics()}, commit=commit)
    assert statement in Page(report(study)[1]).words()


def test_adopted_results_are_declared(study, report):
    study.build_all()
    path = study.folders[0] / "manifest.json"
    manifest = {**json.loads(path.read_text()), "adopted": [{"reason": "a comment only"}]}
    path.write_text(json.dumps(manifest))
    words = Page(report(study)[1]).words()
    assert f"Adopted result: {manifest['stage']}/{manifest['name']}" in words and "reason: a comment only" in words
