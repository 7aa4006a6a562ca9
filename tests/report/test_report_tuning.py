"""Identical fine-tuning is what the runs recorded, not what the config says: whatever differs is named, with the models.
What it took of each set of conversations, and what it did not, is told with the reasons."""

import copy

import pytest

from html_page import Page
from trellis.manifest import Manifest
from trellis.report.results import Results
from trellis.report.study import check_tuning

MODELS, SEEDS = ("ours", "theirs", "other"), [0, 1]
EXPERIMENT = {"models": {model: {} for model in MODELS}, "sft": {"training": {"seeds": SEEDS}}}


def recorded(model, seed):
    return {
        "parameters": 1_000 + len(model),
        "trained_parameters": 1_000 + len(model),
        "examples": 9_600,
        "data_sha256": "a" * 64,
        "order_sha256": f"{seed}" * 64,
        "tokens_sha256": f"{seed + 2}" * 64,
        "tokenizer_sha256": "b" * 64,
        "template": {"name": "plain", "sha256": "c" * 64},
        "hyperparameters": {"seed": seed, "batch": 8, "learning_rate": 1e-3, "lr_scheduler_kwargs": {}},
    }


@pytest.fixture
def runs():
    return {f"{model}-s{seed}": recorded(model, seed) for model in MODELS for seed in SEEDS}


def check(runs):
    fixed = {"stage": "sft", "command": "train", "fingerprint": "", "components": {}, "files": [], "run": {}}
    made = [Manifest(**fixed, name=name, metrics=metrics) for name, metrics in runs.items()]
    return check_tuning(Results(made), EXPERIMENT)


def test_runs_that_recorded_the_same_are_identical(runs):
    tuning = check(runs)
    assert tuning.problem is None and tuning.same_tokens
    assert (tuning.models, tuning.seeds, tuning.examples, tuning.data_sha256) == (3, SEEDS, 9_600, "a" * 64)


ALL = "between ours-s0 / ours-s1 / theirs-s0 / other-s0 / other-s1 and theirs-s1"
SEED = "between ours / other and theirs"
OTHER_ORDER = {"order_sha256": "f" * 64}
HELD = recorded("", 1)["hyperparameters"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data_sha256": "f" * 64}, f"the examples differ {ALL}"),
        (OTHER_ORDER, f"at seed 1 the order of the examples differs {SEED}"),
        (OTHER_ORDER | {"tokens_sha256": "f" * 64}, f"at seed 1 the order of the examples differs {SEED}"),
        ({"tokens_sha256": "f" * 64}, f"at seed 1 the tokens, or which of them carry the loss, differ {SEED}"),
        ({"template": {"name": "plain", "sha256": "f"}}, f"the chat template differs {ALL}"),
        (
            {"hyperparameters": HELD | {"learning_rate": 2e-5}},
            "at seed 1 the hyperparameter learning_rate differs between ours / other (0.001) and theirs (2e-05)",
        ),
        (
            {"hyperparameters": HELD | {"neftune_noise_alpha": 5}},
            "at seed 1 the hyperparameter neftune_noise_alpha differs between ours / other (null) and theirs (5)",
        ),
        ({"trained_parameters": 8}, "theirs-s1 trained only 8 of 1,006 parameters"),
        ({"tokens_sha256": None, "template": None}, "theirs-s1 left no record of its tokens and chat template"),
    ],
)
def test_a_run_that_differs_in_one_respect_is_named_with_it(runs, change, sentence):
    runs["theirs-s1"] |= change
    assert check(runs).problem == sentence


def test_a_run_without_a_result_is_a_problem(runs):
    del runs["ours-s0"]
    words = "examples, order, tokens, tokenizer, chat template, hyperparameters and trained parameters"
    assert check(runs).problem == f"ours-s0 left no record of its {words}"


def test_tokens_are_compared_between_models_of_one_tokenizer_only(runs):
    for seed in SEEDS:
        runs[f"theirs-s{seed}"] |= {"tokenizer_sha256": "f" * 64, "tokens_sha256": "f" * 64}
    tuning = check(runs)
    assert tuning.problem is None and not tuning.same_tokens
    runs["other-s0"] |= {"tokens_sha256": "e" * 64}
    words = "at seed 0 the tokens, or which of them carry the loss, differ between ours and other"
    assert check(runs).problem == words


def test_every_difference_is_told(runs):
    runs["ours-s0"], runs["theirs-s1"] = copy.deepcopy(runs["ours-s0"]), copy.deepcopy(runs["theirs-s1"])
    runs["ours-s0"]["hyperparameters"] |= {"batch": 4, "seed": 7}
    runs["theirs-s1"]["order_sha256"] = "f" * 64
    found = check(runs).problem.split("; ")
    assert [sentence.split(" differs ")[0] for sentence in found] == [
        "at seed 0 the hyperparameter seed",
        "at seed 0 the hyperparameter batch",
        "at seed 1 the order of the examples",
    ]


TALKS = {
    **{"rows": 11_300, "converted": 11_283, "set_aside": {"bad_call": 12, "malformed": 5}, "examples": 10_000},
    **{"tokens": 4_321_000, "too_long": 31, "format": 204, "similar": 0, "contaminated": 7},
}
CALLS = {"rows": 42, "converted": 42, "set_aside": {}, "examples": 40, "tokens": 9_001}
CALLS |= dict.fromkeys(("too_long", "format", "similar", "contaminated"), 0)


def test_rows_set_aside_and_left_out_are_told_by_set_and_reason(study, report):
    metrics = {"sets": {"datasets/harbour/talks": TALKS, "datasets/harbour/calls": CALLS}, "contaminated": {"bfcl": 7}}
    study.build_all().add("sft", "data", "data", metrics=metrics)
    words = Page(report(study)[1]).words()
    assert (
        "datasets/harbour/calls 42 0 – 0 – 40 9,001 "
        "datasets/harbour/talks 11,300 17 bad call 12, malformed 5 "
        "242 too long 31, format 204, contaminated 7 10,000 4,321,000"
    ) in words


def test_without_sets_there_is_no_table_of_them(study, report):
    study.build_all().add("sft", "data", "data", metrics={"sets": {}, "contaminated": {}})
    page = Page(report(study)[1])
    assert "Sets of conversations" not in [attributes.get("aria-label") for _, attributes in page.elements]
