"""The parts of the statistics against formulas worked out otherwise."""

import numpy as np
import pytest
from scipy import stats

from trellis.evaluate.bootstrap import resampled_means
from trellis.evaluate.estimate import estimates
from trellis.evaluate.score_tables import combined
from trellis.evaluate.significance import holm, mcnemar
from trellis.experiment.evaluation import Statistics

DRAWS = Statistics(resamples=20_000)


def estimate(*terms, clusters, settings=DRAWS):
    (found,) = estimates([terms], np.asarray(clusters), settings)
    return found


def test_items_with_a_missing_value_leave_the_other_columns_untouched():
    values = np.array([[1.0, np.nan], [0.0, 1.0], [1.0, np.nan], [0.0, 0.0]])
    draws = resampled_means(values, np.arange(4), 2000, np.random.default_rng(0))
    assert np.nanmean(draws[:, 0]) == pytest.approx(0.5, abs=0.02)
    assert np.nanmean(draws[:, 1]) == pytest.approx(0.5, abs=0.05)
    assert np.isnan(draws[:, 1]).mean() == pytest.approx(0.5**4, abs=0.02) and not np.isnan(draws[:, 0]).any()


def test_columns_share_their_draws():
    values = np.random.default_rng(0).random((60, 1)) + np.array([[0.0, 0.25]])
    draws = resampled_means(values, np.repeat(np.arange(20), 3), 500, np.random.default_rng(0))
    assert draws[:, 1] - draws[:, 0] == pytest.approx(0.25)


def test_the_bootstraps_standard_error_is_that_of_the_clustered_mean():
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 9, 200)
    clusters = np.repeat(np.arange(200), sizes)
    values = rng.normal(0, 1, 200)[clusters] + rng.normal(0, 1, len(clusters))
    found = estimate((1, values[None]), clusters=clusters)
    # The sandwich estimator of Miller 2024, section 2.2.
    sums = np.bincount(clusters, values - values.mean())
    assert found.items_se == pytest.approx(np.sqrt((sums**2).sum()) / len(values), rel=0.03)
    assert found.value == pytest.approx(values.mean())
    naive = values.std(ddof=1) / np.sqrt(len(values))
    assert found.items_se > 1.7 * naive


def test_the_standard_error_of_few_items_is_the_textbooks():
    values = np.array([0.0, 1.0, 3.0, 7.0, 7.5])
    found = estimate((1, values[None]), clusters=np.arange(5))
    assert found.total_se == pytest.approx(stats.sem(values), rel=0.02)
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.003)


def test_models_are_equivalent_when_two_one_sided_tests_say_so():
    values = np.random.default_rng(7).normal(0.1, 1, 400)
    found = estimate((1, values[None]), clusters=np.arange(400))
    one_sided = stats.t.ppf(0.95, 399) * stats.sem(values) + abs(values.mean())
    assert found.equivalent(0.95, 1.03 * one_sided) and not found.equivalent(0.95, 0.97 * one_sided)


def test_what_seeds_add_is_their_means_variance_over_their_number():
    """With seeds that differ by a constant alone there is no overlap: all variances add up."""
    rng = np.random.default_rng(2)
    shifts, items = np.array([[0.0], [0.3], [0.6]]), rng.normal(0, 1, (1, 400))
    found = estimate((1, items + shifts), (-1, rng.normal(0, 1, (1, 400)) + 2 * shifts), clusters=np.arange(400))
    assert found.overlap_se == pytest.approx(0, abs=1e-9)
    assert found.seed_se == pytest.approx((0.3 / 3**0.5, 0.6 / 3**0.5))
    assert found.total_se**2 == pytest.approx(found.items_se**2 + 0.03 + 0.12)
    # Satterthwaite: 2 degrees of freedom for either model's seeds, 399 for the items.
    assert found.df == pytest.approx(found.total_se**4 / (0.03**2 / 2 + 0.12**2 / 2 + found.items_se**4 / 399))


def test_luck_of_single_items_with_single_seeds_is_counted_once():
    """Independent noise in every score: its variance over 3 seeds and 500 items is 1 / 1500, however it is looked at."""
    rng = np.random.default_rng(3)
    few = Statistics(resamples=2000)
    runs = [estimate((1, rng.normal(0, 1, (3, 500))), clusters=np.arange(500), settings=few) for _ in range(40)]
    for part in ("items_se", "overlap_se"):
        assert np.mean([getattr(found, part) ** 2 for found in runs]) == pytest.approx(1 / 1500, rel=0.03)
    assert np.mean([found.seed_se[0] ** 2 for found in runs]) == pytest.approx(1 / 1500, rel=0.35)
    assert all(found.total_se >= found.items_se for found in runs)
    assert np.mean([found.total_se**2 for found in runs]) < 1.6 / 1500


def test_the_detectable_effect_is_that_of_the_facts_where_there_is_no_doubt_about_the_variance():
    """2.80 standard errors (Miller 2024, section 5), here for independent differences."""
    found = estimate((1, np.random.default_rng(4).normal(0, 1, (1, 5000))), clusters=np.arange(5000))
    assert found.detectable(0.95, 0.8) == pytest.approx(2.80 / 5000**0.5, rel=0.03)


def test_wilsons_interval_of_independent_items_is_the_textbooks():
    scores = np.repeat([1.0, 0.0], [12, 188])[None]
    found = estimate((1, scores), clusters=np.arange(200)).rate_interval(0.95)
    textbook = stats.binomtest(12, 200).proportion_ci(0.95, "wilson")
    assert found == pytest.approx((textbook.low, textbook.high), abs=0.003)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_rate_without_exceptions_has_an_interval(rate):
    low, high = estimate((1, np.full((1, 30), rate)), clusters=np.repeat(np.arange(10), 3)).rate_interval(0.95)
    assert (low == 0 and 0.2 < high < 0.4) if rate == 0 else (high == 1 and 0.6 < low < 0.8)


def test_a_single_cluster_says_next_to_nothing():
    found = estimate((1, np.array([[1.0, 0.0, 1.0]])), clusters=["a"] * 3)
    low, high = found.rate_interval(0.95)
    assert low < 0.05 and high > 0.95
    nats = estimate((1, np.array([[2.0, 3.0, 4.0]])), clusters=["a"] * 3)
    low, high = nats.interval(0.95)
    assert low < 0 and high > 6


def test_holms_own_procedure():
    """Compared with the step-down by hand, at every level at which it could change its mind."""
    p_values = [0.01, 0.04, 0.03, 0.005]
    assert holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1, 1] and holm([]) == []
    rng = np.random.default_rng(5)
    for _ in range(200):
        p_values = list(rng.random(6) ** 3)
        adjusted = holm(p_values)
        for alpha in (0.01, 0.05, 0.2):
            rejected = set()
            for rank, at in enumerate(np.argsort(p_values)):
                if p_values[at] > alpha / (6 - rank):
                    break
                rejected.add(at)
            assert {at for at, p in enumerate(adjusted) if p <= alpha} == rejected


def test_mcnemar_looks_at_the_majority_of_the_seeds():
    treatment = np.array([[1, 1, 0, 1, 0, 1, 1], [1, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 1, 1]])
    control = np.array([[0, 0, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0]])
    # Won: items 0, 1, 5 and 6; lost: item 2.
    assert mcnemar(treatment, control) == pytest.approx(stats.binomtest(4, 5).pvalue)
    assert mcnemar(treatment, treatment) == 1


def test_a_sum_of_two_strata_has_their_variances():
    rng = np.random.default_rng(6)
    values = rng.normal(0, 1, (1, 900)) * np.repeat([1.0, 3.0], [600, 300]) + np.repeat([5.0, -2.0], [600, 300])
    first = np.arange(900) < 600
    scores = combined(values, first, ~first, (1.0, -1.0))
    assert scores.mean() == pytest.approx(values[:, first].mean() - values[:, ~first].mean())
    found = estimate((1, scores), clusters=np.arange(900))
    assert found.items_se**2 == pytest.approx(values[:, first].var() / 600 + values[:, ~first].var() / 300, rel=0.05)


def test_a_sum_of_two_strata_of_which_one_is_empty_has_no_value():
    assert np.isnan(combined(np.ones((2, 3)), np.array([1, 1, 1], bool), np.zeros(3, bool), (0.5, 0.5))).all()
