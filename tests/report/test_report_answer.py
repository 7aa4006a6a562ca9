"""The sentence says what the interval says, and what stands between it and curation."""

from typing import get_args

import pytest

from trellis.experiment.prereg import Metric
from trellis.report.answer import answer
from trellis.report.study import Arm, Tuning


@pytest.fixture
def ask(study):
    """ask(low, high, ...) -> the answer for the primary of the study, with two arms that differ in their data only."""

    def build(low, high, rates=(0.5, 0.4), control=None, seeds=(0, 1, 2), problem=None, heuristic=()):
        chosen = study.experiment["prereg"]["primary"]
        arms = [
            Arm(chosen["treatment"], 0, "LLaMA", "curated", 1_000, 300_000),
            Arm(**{**vars(Arm(chosen["control"], 1, "LLaMA", "uncurated", 1_000, 300_000)), **(control or {})}),
        ]
        primary = {**study.primary, "difference": (low + high) / 2, "low": low, "high": high}
        primary |= {"treatment_mean": rates[0], "control_mean": rates[1], "enough_seeds": len(seeds) >= 3}
        primary["seeds"] = {"treatment": len(seeds), "control": len(seeds)}
        tuning = Tuning(2, list(seeds), 9600, "a" * 64, problem)
        return answer(study.experiment, primary, arms, tuning, list(heuristic))

    return build


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.2, "supports"),
        (-0.2, -0.001, "contradicts"),
        (-0.001, 0.2, "cannot tell"),
        (-0.2, 0.001, "cannot tell"),
        (0.0, 0.0, "cannot tell"),
        (0.0, 0.1, "cannot tell"),
    ],
)
def test_verdict_is_the_intervals(ask, low, high, verdict):
    found = ask(low, high)
    assert found.verdict == verdict
    assert f"This study in miniature {verdict} " in found.claim


def test_sentence_names_all_that_was_compared(ask, study):
    chosen = study.experiment["prereg"]["primary"]
    assert ask(0.021, 0.146).evidence == (
        f"after identical fine-tuning, the rate of schema-valid JSON on unseen items is 50.0% for "
        f"{chosen['treatment']} (curated mixture) and 40.0% for {chosen['control']} (uncurated mixture), a difference of "
        f"+8.3 percentage points (95% interval +2.1 to +14.6; 200 items over 187 schema clusters; 3 fine-tuning seeds, "
        f"one pretraining run per model)."
    )
    assert "difference of −8.3 percentage points (95% interval −14.6 to −2.1;" in ask(-0.146, -0.021).evidence


def test_differing_fine_tuning_overrules_a_clear_interval(ask):
    found = ask(0.1, 0.2, problem="the examples differ")
    assert found.verdict == "cannot tell" and "not fine-tuned identically" in found.claim
    assert "identical" not in found.evidence and "the examples differ" in found.limits[0]


def test_arms_on_the_same_mixture_say_nothing_of_curation(ask):
    found = ask(0.1, 0.2, control={"mixture": "curated"})
    assert found.verdict == "cannot tell"
    assert found.claim.endswith("because both models were pretrained on the same mixture")


def test_a_treatment_that_was_not_curated_says_nothing_of_curation(ask, study):
    for share in study.experiment["mixtures"]["curated"]["sources"].values():
        share["select"] = "random"
    found = ask(0.1, 0.2)
    assert found.verdict == "cannot tell" and "was not pretrained on a curated mixture" in found.claim
    study.experiment["mixtures"]["curated"]["sources"]["finemath"]["select"] = "any_rule"
    assert "was not pretrained" not in ask(0.1, 0.2).claim
    study.experiment["mixtures"]["curated"]["arm"] = "random"
    assert "was not pretrained on a curated mixture" in ask(0.1, 0.2).claim


def test_full_study_is_not_called_a_miniature(ask, study):
    for source in study.experiment["sources"].values():
        source["stands_for"] = ""
    found = ask(0.1, 0.2)
    assert found.claim.startswith("This study supports") and not any("miniature" in limit for limit in found.limits)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        ({"architecture": "GPT-NeoX"}, "differ in their architecture (LLaMA and GPT-NeoX)"),
        ({"parameters": 2_000}, "differ in their number of parameters (1,000 and 2,000)"),
        ({"tokens": None}, "differ in their number of pretraining tokens (300,000 and –)"),
        ({"mixture": None}, "pretrained elsewhere"),
    ],
)
def test_each_confounder_is_named_where_it_is_there_and_only_there(ask, difference, expected):
    assert expected in " ".join(ask(0.1, 0.2, control=difference).limits)
    assert expected not in " ".join(ask(0.1, 0.2).limits)


def test_heuristic_labels_floor_and_ceiling_are_named(ask):
    assert "heuristic rubric, not from people (complexity and topics)" in " ".join(
        ask(0.1, 0.2, heuristic=["complexity", "topics"]).limits
    )
    assert "at the floor" in ask(-0.01, 0.01, rates=(0.0, 0.005)).limits[-1]
    assert "at the ceiling" in ask(-0.01, 0.01, rates=(1.0, 0.995)).limits[-1]
    assert not any(word in " ".join(ask(0.1, 0.2).limits) for word in ("heuristic", "floor", "ceiling"))


def test_seeds_are_counted_and_not_claimed_for_the_interval(ask):
    one, three = ask(0.1, 0.2, seeds=(0,)), ask(0.1, 0.2)
    assert "1 fine-tuning seed," in one.evidence and "3 fine-tuning seeds," in three.evidence
    assert any(
        "items, but neither the fine-tuning seed nor the luck of the one pretraining run" in limit
        for limit in one.limits
    )
    assert any("items, and of 3 seeds per model, but not the luck" in limit for limit in three.limits)


def test_a_null_comes_with_what_could_have_been_seen(ask):
    assert "would find is 7.1 points" in ask(-0.02, 0.03).evidence
    assert "would find" not in ask(0.01, 0.03).evidence


@pytest.mark.parametrize("metric", get_args(Metric))
def test_every_metric_that_a_primary_may_have_is_worded(ask, study, metric):
    study.primary["metric"] = metric
    assert "fine-tuning, the " in ask(0.1, 0.2).evidence


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_an_interval_over_items_alone_is_no_answer_however_clear(ask, seeds):
    found = ask(0.1, 0.2, seeds=seeds)
    assert found.verdict == "cannot tell"
    assert "seed" in found.claim and "cannot tell an effect of the data from the luck of the draw" in found.claim
