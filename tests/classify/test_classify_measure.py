"""Measures against definitions and brute force."""

import numpy as np
import pytest

from trellis.classify.measure import calibrate, multi_label, ordinal


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
