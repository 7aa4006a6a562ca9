"""Exactly stale: a stage runs again if, and only if, something that can change its result has changed."""

import json
import os
import random
import re
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SMOKE = "config/experiments/smoke.yaml"
CODE = "workflow/scripts/trellis"
REPORT = {"report_build": 1, "report_publish": 1}
COMPARISON = {"evaluate_compare": 1, **REPORT}
# Three models, each as a base model and fine-tuned, and two suites.
SCORING = {"evaluate_score": 6, **COMPARISON}
GENERATION = {"evaluate_generate": 12, **SCORING}


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and ".snakemake" not in path.parts]


def test_a_finished_run_has_nothing_to_do(workflow):
    assert workflow.stale() == {}


def test_touching_every_file_runs_nothing(workflow):
    paths = files(workflow.folder)
    random.Random(0).shuffle(paths)
    for path in paths:
        path.touch()
    assert workflow.stale() == {}


def test_a_fresh_clone_with_copied_results_runs_nothing(workflow, tmp_path):
    """No times kept, no `.snakemake/`, in any order."""
    target = tmp_path / "elsewhere"
    paths = files(workflow.folder)
    random.Random(1).shuffle(paths)
    for path in paths:
        copy = target / path.relative_to(workflow.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    assert type(workflow)(target).stale() == {}


def test_without_snakemakes_memory_nothing_runs_and_a_changed_setting_is_still_seen(workflow):
    shutil.rmtree(workflow.folder / ".snakemake")
    assert workflow.stale() == {}
    workflow.edit(SMOKE, "resamples: 500", "resamples: 501")
    assert workflow.stale() == COMPARISON


@pytest.mark.parametrize(
    "stage", ["pretrain/loop.py", "sft/train.py", "evaluate/score.py", "manifest.py", "address.py"]
)
def test_comments_and_docstrings_run_nothing(workflow, stage):
    path = workflow.folder / CODE / stage
    begin, rest = path.read_text().split('"""', 2)[1:]
    path.write_text(f'# A comment.\n"""{begin} And more.\n"""\n# Another comment.\n{rest}')
    assert workflow.stale() == {}


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        pytest.param(
            SMOKE,
            "    learning_rate: 3e-3",
            "    learning_rate: 2e-3",
            {"sft_train": 3, "evaluate_generate": 6, "evaluate_score": 3, **COMPARISON},
            id="an SFT setting",
        ),
        pytest.param(
            f"{CODE}/evaluate/score.py", "def run(", "LIMIT = 1\n\n\ndef run(", SCORING, id="the scorer's code"
        ),
        pytest.param(
            f"{CODE}/evaluate/scorers/format.py",
            "def score(",
            "LIMIT = 1\n\n\ndef score(",
            SCORING,
            id="a suite's scorer",
        ),
        pytest.param(
            f"{CODE}/evaluate/suites/format.py",
            "def build(",
            "LIMIT = 1\n\n\ndef build(",
            {"evaluate_items": 1, "evaluate_distance": 1, "evaluate_generate": 6, **SCORING},
            id="the code that makes a suite",
        ),
        pytest.param(
            SMOKE,
            "unseen: 16",
            "unseen: 17",
            {"evaluate_items": 1, "evaluate_distance": 1, "evaluate_generate": 6, **SCORING},
            id="a suite grows",
        ),
        pytest.param("config/prereg.yaml", "metric: parse}", "metric: exact}", COMPARISON, id="the preregistration"),
        pytest.param(SMOKE, "resamples: 500", "resamples: 501", COMPARISON, id="the statistics"),
        pytest.param(SMOKE, "log_interval: 5", "log_interval: 4", {}, id="a runtime key: log interval"),
        pytest.param(SMOKE, "micro_batch: 16", "micro_batch: 4", {}, id="a runtime key: micro-batch"),
        pytest.param("config/config.yaml", "NVIDIA GeForce RTX 4090", "any", {}, id="this machine's GPU"),
        pytest.param(SMOKE, "title: ", "title: The ", REPORT, id="the title"),
    ],
)
def test_what_runs_again_after(workflow, file, old, new, stale):
    workflow.edit(file, old, new)
    assert workflow.stale() == stale


def test_a_sources_pin_runs_everything_that_came_from_it(workflow, all_jobs):
    lock = workflow.folder / "config/locks/demo.json"
    content = json.loads(lock.read_text())
    content["packages"]["evals"]["sha256"] = "0" * 64
    lock.write_text(json.dumps(content))
    stale = workflow.stale()
    untouched = {"download_wheel": 10, "download_ingest": 5, "evaluate_schemas": 1}
    # The classifier of code reads one source, which comes from another package.
    untouched |= {"classify_label": 1, "classify_train": 1, "classify_score": 1}
    expected = {rule: count - untouched.get(rule, 0) for rule, count in all_jobs.items()}
    assert stale == {rule: count for rule, count in expected.items() if count}


def test_two_swapped_values_are_seen(workflow):
    workflow.edit(SMOKE, "max_lr: 2e-3\n  min_lr: 2e-4", "max_lr: 2e-4\n  min_lr: 2e-3")
    assert workflow.stale() == {"pretrain_train": 3, "sft_train": 3, **GENERATION}


def test_a_stage_that_fails_leaves_no_old_report_on_show(workflow):
    report = workflow.folder / "results/report.html"
    before = report.read_bytes()
    workflow.edit(SMOKE, "parameters: ", "parameters: 1")
    answer = workflow.snakemake()
    assert answer.returncode != 0
    # Two of them start at once.
    assert re.search(r"error: pretrain_train [\w-]+: this (llama|gpt_neox) model has", workflow.log)
    assert "log.txt" in workflow.log and "Traceback" not in workflow.log
    assert not report.exists()
    assert workflow.stale()["report_publish"] == 1
    workflow.edit(SMOKE, "parameters: 1", "parameters: ")
    assert workflow.stale() == {"report_publish": 1}
    assert workflow.snakemake().returncode == 0
    assert report.read_bytes() == before


def test_from_a_to_b_and_back_computes_nothing(workflow):
    report = workflow.folder / "results/report.html"
    a = report.read_bytes()
    workflow.edit(SMOKE, "resamples: 500", "resamples: 400")
    assert workflow.snakemake().returncode == 0, workflow.log
    b = report.read_bytes()
    assert a != b
    workflow.edit(SMOKE, "resamples: 400", "resamples: 500")
    assert workflow.stale() == {"report_publish": 1}
    assert workflow.snakemake().returncode == 0
    assert report.read_bytes() == a
    assert workflow.stale() == {}


def test_a_dry_run_of_another_setting_changes_nothing(workflow):
    before = {path: path.read_bytes() for path in files(workflow.folder / "results") if path.name != "wanted-report"}
    workflow.edit(SMOKE, "resamples: 500", "resamples: 400")
    assert workflow.stale() == COMPARISON
    assert {path: path.read_bytes() for path in before} == before
    workflow.edit(SMOKE, "resamples: 400", "resamples: 500")
    assert workflow.stale() == {}


def test_another_order_of_keys_in_the_config_is_the_same_config(workflow):
    workflow.edit(SMOKE, "max_lr: 2e-3\n  min_lr: 2e-4", "min_lr: 2e-4\n  max_lr: 2e-3")
    assert workflow.stale() == {}


def test_python_hash_seeds_do_not_matter(workflow, monkeypatch):
    for seed in ("1", "2"):
        monkeypatch.setitem(os.environ, "PYTHONHASHSEED", seed)
        assert workflow.stale() == {}
