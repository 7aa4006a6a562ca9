"""Measures against definitions and brute force."""

import numpy as np
import pytest

from trellis.classify.heads import Head, Target
from trellis.classify.measure import calibrate, classes, confusion, multi_label, one_label, ordinal, reliability
from trellis.classify.quality import epoch_quality, mean_quality


def f1(chosen, truth):
    return 2 * (chosen & truth).sum() / max(1, chosen.sum() + truth.sum())


def test_calibrated_thresholds_are_the_best_there_are():
    rng = np.random.default_rng(0)
    truth = rng.random((200, 3)) < 0.3
    scores = np.clip(0.3 * truth + rng.random((200, 3)) * 0.6, 0, 1).round(2).astype(np.float32)
    known = rng.random((200, 3)) < 0.9
    for label, threshold in enumerate(calibrate(scores, truth, known)):
        rows = known[:, label]
        best = max(f1(scores[rows, label] >= t, truth[rows, label]) for t in np.linspace(-0.01, 1.01, 500))
        assert f1(scores[rows, label] >= threshold, truth[rows, label]) == pytest.approx(best)


def test_a_rare_label_takes_the_common_threshold():
    scores = np.array([[0.9, 0.2]] * 6 + [[0.1, 0.2]] * 6, dtype=np.float32)
    truth = np.array([[True, True]] + [[True, False]] * 5 + [[False, False]] * 6)
    known = np.ones_like(truth)
    assert calibrate(scores, truth, known) == [pytest.approx(0.5), pytest.approx(0.55)]
    assert calibrate(scores, np.zeros_like(truth), known) == [0.5, 0.5]


def test_open_labels_do_not_count():
    scores, truth = np.array([[0.9], [0.9], [0.1]]), np.array([[True], [False], [True]])
    known = np.array([[True], [False], [True]])
    found = multi_label(scores, truth, known, [0.5])
    assert found["micro_f1"] == found["macro_f1"] == pytest.approx(2 / 3, abs=1e-4)


def test_macro_f1_runs_over_labels_that_occur():
    scores = np.array([[0.9, 0.9], [0.1, 0.1]])
    truth = np.array([[True, False], [False, False]])
    found = multi_label(scores, truth, np.ones_like(truth), [0.5, 0.5])
    assert (found["macro_f1"], found["labels_that_occur"]) == (1.0, 1)
    assert found["micro_f1"] == pytest.approx(2 / 3, abs=1e-4)


def test_levels_are_measured_beside_the_training_mean():
    found = ordinal(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 5.0]), training_mean=2.0)
    assert found == {"documents": 3, "spearman": 1.0, "mae": 0.6667, "mae_of_the_mean": 1.6667}
    assert ordinal(np.array([2.0, 2.0]), np.array([1.0, 3.0]), 2.0)["spearman"] is None
    assert ordinal(np.array([]), np.array([]), 2.0)["documents"] == 0


def test_one_label_by_its_definitions():
    chosen, truth = np.array([True, True, True, False, False]), np.array([True, True, False, True, False])
    expected = {"precision": 0.6667, "recall": 0.6667, "f1": 0.6667, "support": 3, "predicted": 3}
    assert one_label(chosen, truth) == expected
    nothing = {"precision": None, "recall": None, "f1": None, "support": 0, "predicted": 0}
    assert one_label(~chosen & chosen, ~truth & truth) == nothing
    assert one_label(chosen, ~truth & truth) | {"predicted": 0} == nothing | {"precision": 0.0, "f1": 0.0}


def test_classes_are_measured_beside_the_commonest():
    scores = np.eye(3)[[0, 1, 1, 2, 2]]
    truth = np.array([0, 1, 2, 2, 2])
    found = classes(scores, truth, commonest=2)
    assert found["accuracy"] == 0.8 and found["accuracy_of_the_commonest"] == 0.6
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3 + 0.8) / 3, abs=1e-4)
    assert confusion(truth, scores.argmax(1), 3) == [[1, 0, 0], [0, 1, 0], [0, 1, 2]]
    assert classes(np.empty((0, 3)), np.empty(0, int), 2)["documents"] == 0


def test_calibrated_scores_have_no_calibration_error_and_bins_lose_nobody():
    rng = np.random.default_rng(0)
    scores = rng.random(200_000)
    right = reliability(scores, rng.random(200_000) < scores)
    assert right["error"] < 0.005
    assert sum(each["n"] for each in right["bins"]) == 200_000
    assert all(abs(each["predicted"] - (0.05 + 0.1 * place)) < 0.01 for place, each in enumerate(right["bins"]))
    # True half as often as said: the error is half the mean score.
    assert reliability(scores, rng.random(200_000) < scores / 2)["error"] == pytest.approx(0.25, abs=0.005)


def test_reliability_of_levels_and_of_nothing():
    found = reliability(np.array([1.0, 5.0, 4.9]), np.array([1.0, 4.0, 5.0]), 1, 5)
    assert [each["n"] for each in found["bins"]] == [1, *[0] * 8, 2]
    assert found["bins"][-1] == {"n": 2, "predicted": 4.95, "observed": 4.5}
    assert found["bins"][1] == {"n": 0, "predicted": None, "observed": None}
    assert found["error"] == pytest.approx(0.9 / 3, abs=1e-4)
    assert reliability(np.empty(0), np.empty(0))["error"] is None


def test_an_epoch_is_judged_by_the_error_that_it_avoids_and_unlabelled_rubrics_say_nothing():
    """For one ordinal rubric the best epoch is the one of the lowest error, as in the original."""
    head = Head("ordinal", 1, [], levels=[1, 2, 3], loss="mse")
    values = np.array([[1.0], [3.0], [2.0]], np.float32)
    target = Target(values, np.ones_like(values, bool), np.array(["real", "real", ""], dtype=object))
    judged = [epoch_quality(head, np.array([1 + off, 3 - off, 9.0]), target, target) for off in (0.0, 0.4, 1.0, 2.0)]
    assert judged == pytest.approx([1.0, 0.6, 0.0, -1.0])
    none = Target(values, np.zeros_like(values, bool), np.array([""] * 3, dtype=object))
    assert epoch_quality(head, np.zeros(3), none, target) is None
    assert mean_quality({"a": 0.5, "b": None, "c": -0.25}) == 0.125
    assert mean_quality({"a": None}) == 0.0
