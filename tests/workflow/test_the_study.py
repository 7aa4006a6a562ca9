"""The study's own configuration, from its lock to its report, with budgets and models made small: against a local hub."""

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from hub_repos import GATED, parameters, populate
from local_hub import LocalHub
from openai_server import KEY, OpenAIServer
from trellis.experiment.reading import read_yaml
from trellis.manifest import Manifest
from trellis.store import problems

ROOT = Path(__file__).parents[2]
SCALE = 4e-6
VOCABULARY = 1024
# How many items of each suite but the headline's; of function calling, of each of its categories.
SUITES = {"function-calling": 1, "json-schema": 6, "extraction": 4, "text-to-sql": 4, "format": 4}
TOKEN = "hf_a_secret_that_nobody_may_read"


def small(experiment: dict, labeller: str) -> dict:
    """The study with the same sources, stages and rules, and other budgets."""
    for source in experiment["sources"].values():
        for part in source["parts"]:
            part["tokens"] = round(part["tokens"] * SCALE)
    for mixture in experiment["mixtures"].values():
        for share in mixture["sources"].values():
            share["tokens"] = round(share["tokens"] * SCALE)
        mixture["tokens"] = sum(share["tokens"] for share in mixture["sources"].values())
    experiment |= {"device": "cpu", "preregistered_as": "trellis-506m"}
    experiment["tokenizer"]["vocab_size"] = VOCABULARY
    for classifier in experiment["classify"]["classifiers"].values():
        classifier["window"] = 64
        labels = classifier["labels"]
        labels["sample"] = 200
        for model in (labels["backend"], labels["agreement"]["second"]):
            model |= {"endpoint": labeller, "poll_seconds": 0.1}
        classifier["training"]["epochs"] = 1
    experiment["filter"]["validation_share"] = 0.05
    # What a classifier of random weights says of a text must not leave a quota empty.
    for group in experiment["filter"]["selection"]["curated"]["groups"]:
        group.pop("cap", None)
    experiment["filter"]["selection"]["code"]["quality_floor"] = 0.0
    for part in experiment["filter"]["selection"]["code"]["slices"]:
        part.pop("structured_floor", None)
    experiment["pretraining"] |= {"context": 1024, "batch_tokens": 8192, "warmup_steps": 2, "validation_interval": 5}
    experiment["pretraining"] |= {"compile": "none"}
    ours = {"hidden_size": 32, "intermediate_size": 64, "layers": 2, "heads": 4, "kv_heads": 2}
    experiment["models"]["trellis-506m"] |= ours | {"parameters": 2 * VOCABULARY * 32 + 18_592}
    for name in ("pythia-410m", "pythia-1b"):
        model = experiment["models"][name]
        model["parameters"] = parameters(model["repo"], VOCABULARY)
    mix = experiment["sft"]["mixes"][experiment["sft"]["mix"]]
    mix["schema_examples"] = 60
    for each, examples in zip(mix["hub"], (12, 8, 20, 15), strict=True):
        each["examples"] = examples
    experiment["sft"]["training"] |= {"epochs": 1, "batch": 16, "max_length": 1024, "seeds": [0]}
    evaluation = experiment["evaluation"]
    evaluation["schemas"] |= {"training": 40, "held_out": 24, "training_names": 200, "properties": [1, 2]}
    evaluation["suites"]["schema"] |= {"seen": 8, "unseen": 24}
    for name, items in SUITES.items():
        evaluation["suites"][name]["items"] = items
    if importlib.util.find_spec("lm_eval"):
        evaluation["knowledge"]["limit"] = 4
    else:
        del evaluation["knowledge"]
    evaluation["generation"] |= {"max_new_tokens": 64, "shots": 1}
    evaluation["statistics"] = {"resamples": 200}
    return experiment


@pytest.fixture(scope="module")
def hub():
    with LocalHub() as hub:
        populate(hub, vocab_size=VOCABULARY)
        hub.grant(GATED, TOKEN)
        yield hub


@pytest.fixture(scope="module")
def labeller():
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def study(hub, labeller, pristine, tmp_path_factory):
    """A clone in which `small-study` has been locked and run to its report."""
    workflow = pristine.clone(tmp_path_factory.mktemp("study") / "trellis")
    experiments = workflow.folder / "config/experiments"
    content = small(read_yaml(ROOT / "config/experiments/trellis-506m.yaml"), labeller.endpoint)
    (experiments / "small-study.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        patch.setenv("HF_TOKEN", TOKEN)
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("HF_HOME", str(workflow.folder / "hf-home"))
        workflow.locked = lock(workflow)
        assert workflow.locked.returncode == 0, workflow.locked.stderr
        answer = workflow.snakemake(experiment="small-study")
        assert answer.returncode == 0, workflow.log
        yield workflow


def lock(workflow, *options: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(workflow.folder / "workflow/scripts")}
    command = [sys.executable, "-m", "trellis", "lock", "small-study", *options]
    return subprocess.run(command, cwd=workflow.folder, env=environment, capture_output=True, text=True)


def results(workflow, stage: str, command: str) -> list[Manifest]:
    folders = sorted((workflow.folder / "results" / stage).glob("*/manifest.json"))
    return [made for made in map(Manifest.read, (path.parent for path in folders)) if made.command == command]


@pytest.mark.slow
def test_the_report_is_about_all_three_models_and_ten_sources(study):
    page = (study.folder / "results/report.html").read_text()
    for name in ("trellis-506m", "pythia-410m", "pythia-1b", "structured_wikipedia", "datasets/bigcode/starcoderdata"):
        assert name in page
    (made,) = results(study, "filter", "select")
    plan = made.metrics["sources"]
    assert len(plan) == 10
    for name, entry in plan.items():
        assert entry["granted_tokens"] >= 0.97 * entry["asked_tokens"] - 1024, name


@pytest.mark.slow
def test_every_result_is_whole_and_was_read_from_the_lock_alone(study, hub):
    pinned = json.loads((study.folder / "config/locks/trellis-506m.json").read_text())["repos"]
    fetched = Counter()
    for made in results(study, "download", "hub"):
        assert not list(problems(made))
        fetched[made.metrics["repo"]] += made.metrics["files"]
    assert fetched == {repo: len(content["files"]) for repo, content in pinned.items()}
    assert pinned["datasets/bigcode/starcoderdata"]["gated"]
    # Of a large repository only some files were chosen, and never a pickle.
    assert len(pinned["datasets/HuggingFaceFW/fineweb-edu"]["files"]) >= 2
    assert not [request for request in hub.requests if request.path.endswith(".bin")]


@pytest.mark.slow
def test_the_released_models_were_tuned_like_ours(study):
    tuned = results(study, "sft", "train")
    assert {made.name for made in tuned} == {"trellis-506m-s0", "pythia-410m-s0", "pythia-1b-s0"}
    assert len({made.metrics["data_sha256"] for made in tuned}) == 1
    assert len({made.metrics["order_sha256"] for made in tuned}) == 1
    assert len({made.metrics["tokens"] for made in tuned}) == 1
    (data,) = results(study, "sft", "data")
    assert {repo: entry["examples"] for repo, entry in data.metrics["sets"].items()} == {
        "datasets/Team-ACE/ToolACE": 12,
        "datasets/NousResearch/hermes-function-calling-v1": 8,
        "datasets/argilla/apigen-function-calling": 20,
        "datasets/HuggingFaceTB/smol-smoltalk": 15,
    }


@pytest.mark.slow
def test_token_and_key_are_nowhere(study, hub):
    for path in study.folder.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".txt", ".html", ".log", ".yaml", ".jsonl", ".tsv"):
            text = path.read_text(errors="replace")
            assert TOKEN not in text and KEY not in text, path
    assert TOKEN not in study.log + study.locked.stdout + study.locked.stderr


@pytest.mark.slow
def test_nothing_is_stale_afterwards_and_a_moved_branch_changes_nothing_until_it_is_locked(study, hub):
    assert study.snakemake("--dry-run", experiment="small-study").returncode == 0
    assert "Nothing to be done" in study.log
    before = lock(study, "--check")
    assert before.returncode == 0, before.stdout + before.stderr
    hub.add("dataset", "wikimedia/wikipedia", {"README.md": b"A new commit that changes no data.\n"})
    after = lock(study, "--check")
    assert after.returncode == 1
    assert "wikimedia/wikipedia" in after.stdout
    assert study.snakemake("--dry-run", experiment="small-study").returncode == 0
    assert "Nothing to be done" in study.log
