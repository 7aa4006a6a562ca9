"""What the page tells of pretraining: what is confounded, packing, losses by source, speed."""

import pytest

from html_page import Page
from trellis.report.wording import count


def test_pretraining_is_reported_as_it_was_recorded(study, report):
    """Packing beside the budget, speed beside the time, losses by source."""
    study.experiment["mixtures"]["curated"]["sources"]["finemath"]["repeat"] = 2.5
    words = Page(report(study.build_all())[1]).words()
    counted = "210 200 80,003 3 41 99"
    assert f"finemath 2.5× {counted} pes2o 1× {counted}" in words
    asked = study.experiment["mixtures"]["curated"]["sources"]["finemath"]["tokens"]
    assert f"finemath {count(asked)} (read 2.5 times) 158,000" in words
    sources = len(study.experiment["mixtures"]["curated"]["sources"])
    totals = [count(sources * number) for number in (210, 200, 80_003, 3, 41, 99)]
    assert f"all {' '.join(totals)}" in words
    first, second, *_ = study.models
    assert f"{first} 151,234 46.3% 47.1% 21,503 1 NVIDIA H100 80GB HBM3 {second} 5,210 – – – 0 AMD EPYC" in words
    assert f"{second}, bpb {second}, loss" in words and "finemath 1.900 4.500 1.920 4.600" in words
    assert "Packing (best fit)" in words and "concatenated in reading order" in words


def test_what_is_confounded_is_seen_at_a_glance(study, report):
    made = study.build_all().models
    words = Page(report(study)[1]).words()
    unique = [
        80_003 * len(study.experiment["mixtures"][study.experiment["models"][m]["mixture"]]["sources"]) for m in made
    ]
    parameters = [958_592 + 100_000 * index for index in range(len(made))]
    kinds = [{"llama": "LLaMA", "gpt_neox": "GPT-NeoX"}[study.experiment["models"][model]["kind"]] for model in made]

    def row(label, cells, alike=None):
        alike = alike or ("differs" if len(set(cells)) > 1 else "same")
        assert f"{label} {' '.join(cells)} {alike}" in words

    row("Architecture", kinds)
    row("Parameters", [count(number) for number in parameters], "differs")
    row("Pretraining tokens", ["294,912"] * len(made), "same")
    row("Unique tokens", [count(number) for number in unique])
    row("Tokens per parameter", [f"{294_912 / number:.1f}" for number in parameters], "differs")
    row("Training FLOPs", ["2.1T"] * len(made), "same")
    row("Tokenizer", ["trained here, 2,048 rows"] * len(made), "same")
    row("Mixture", [study.experiment["models"][model]["mixture"] for model in made], "what is compared")
    row("Bits per byte, held-out", ["1.953"] * len(made), "an outcome")
    assert "6 per parameter and token" not in words


@pytest.mark.parametrize(
    ("origin", "architecture", "called"),
    [
        ({"kind": "pretrained", "repo": "o/m"}, "qwen2", "qwen2"),
        ({"kind": "pretrained", "repo": "o/m"}, None, "pretrained elsewhere"),
        ({"kind": "pretrained_folder", "folder": "models/mine"}, None, "pretrained elsewhere"),
    ],
)
def test_hub_sources_and_pretrained_models_are_reported_too(study, report, origin, architecture, called):
    """What the full study has and the demo has not: repositories as sources, models trained elsewhere."""
    study.build_all()
    model = study.models[-1]
    study.folders = [folder for folder in study.folders if folder.name != f"{model}-train"]
    stated = {"parameters": 405_334_016, "training_tokens": 299_892_736_000}
    study.experiment["models"][model] = {**stated, **origin}
    if architecture:
        counted = {"architecture": architecture, "parameters": 405_334_016, "tokens": 299_892_736_000}
        study.add("pretrain", "pretrained", model, metrics={**counted, "training_flops": 7.293e20})
    study.experiment["tokenizer"] = {"kind": "hub", "repo": "o/words", "vocab_size": 50_304}
    part = {"kind": "hub", "repo": "org/finemath", "files": ["*.parquet"], "reader": "text", "rows": ""}
    study.experiment["sources"]["finemath"]["parts"] = [part, part]
    words = Page(report(study)[1]).words()
    assert f"{called} differs Parameters" in words
    assert "405,334,016 differs Pretraining tokens" in words and "299,892,736,000 differs Unique tokens" in words
    assert "– differs Tokens per parameter" in words and " 739.9 differs Training FLOPs" in words
    assert ("7.29e20 differs Tokenizer" if architecture else "2.1T – not known Tokenizer") in words
    assert "o/words, 50,304 rows same Mixture" in words
    assert f"that of {origin.get('repo') or origin['folder']} what is compared" in words
    assert "– an outcome" in words and "of a model that others trained, 6 per parameter and token" in words
    assert "finemath FineMath-4+ BSD-3-Clause org/finemath pes2o" in words
