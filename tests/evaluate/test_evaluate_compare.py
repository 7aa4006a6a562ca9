"""The statistics: intervals that cover, pairing that helps, planted effects found, and a table that is complete."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from publishing import publish
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.evaluate.bootstrap import interval, p_value, resampled_means

METRICS = ("parse", "schema_valid", "exact", "leaf_f1", "key_f1", "truncated")
HEADLINE = {"treatment": "ours", "control": "theirs", "suite": "schema", "split": "unseen", "metric": "schema_valid"}


def clustered(rng, clusters, size, spread):
    """Paired 0/1 scores of two equal models whose items share a cluster's luck, each model its own."""
    cluster = np.repeat(np.arange(clusters), size)
    luck = rng.normal(0, spread, (clusters, 2))[cluster]
    return (rng.random((len(cluster), 2)) < 1 / (1 + np.exp(-luck))).astype(float), cluster


def test_intervals_cover_a_true_difference_of_zero_where_naive_ones_do_not():
    rng = np.random.default_rng(0)
    covered = naive = rejected = 0
    # Enough runs that a true 95 % cannot be mistaken for less than 93 %: the standard error is half a point.
    runs = 2000
    for _ in range(runs):
        values, cluster = clustered(rng, clusters=60, size=6, spread=1.5)
        draws = resampled_means(values, cluster, 400, rng)
        low, high = interval(draws[:, 0] - draws[:, 1], 0.95)
        covered += low <= 0 <= high
        rejected += p_value(draws[:, 0] - draws[:, 1]) < 0.05
        difference = values[:, 0] - values[:, 1]
        naive += abs(difference.mean()) < 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    assert 0.93 <= covered / runs <= 0.97
    assert rejected / runs <= 0.08
    assert naive / runs < 0.90


def test_a_planted_effect_is_found():
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(40):
        values, cluster = clustered(rng, clusters=200, size=2, spread=0.5)
        values[:, 0] = np.maximum(values[:, 0], rng.random(len(values)) < 0.3)
        draws = resampled_means(values, cluster, 300, rng)
        low, _ = interval(draws[:, 0] - draws[:, 1], 0.95)
        found += low > 0
    assert found >= 36


def test_missing_values_leave_the_other_items_mean_untouched():
    values = np.array([[1.0, np.nan], [0.0, 1.0], [1.0, np.nan], [0.0, 0.0]])
    draws = resampled_means(values, np.array(["a", "b", "c", "d"]), 2000, np.random.default_rng(0))
    assert np.nanmean(draws[:, 0]) == pytest.approx(0.5, abs=0.02)
    assert np.nanmean(draws[:, 1]) == pytest.approx(0.5, abs=0.05)


def test_a_p_value_is_never_zero_and_one_without_any_difference():
    assert p_value(np.full(999, 0.1)) == pytest.approx(0.002)
    assert p_value(np.zeros(999)) == 1


@pytest.fixture
def publish_scores(tmp_path):
    def write(model, seed, values, shift=0):
        """`values`: {split: list of schema_valid}; exact only in every second item."""
        folder = tmp_path / f"{model}-{seed}"
        folder.mkdir()
        rows = []
        for split, scores in values.items():
            for i, score in enumerate(scores):
                row = {"id": f"{split}-{i + shift}", "suite": "schema", "split": split, "cluster": f"{split}-{i // 2}"}
                row |= dict.fromkeys(METRICS, float(score))
                row["exact"] = float(score) if i % 2 else None
                rows.append(row)
        pq.write_table(pa.Table.from_pylist(rows), folder / "scores.parquet")
        return publish(folder, "evaluate", "score", metrics={"model": model, "seed": seed})

    return write


@pytest.fixture
def compare(make_spec, tmp_path):
    def run(scores, name="compare", **headline):
        config = {
            "statistics": {"resamples": 500, "confidence": 0.9, "seed": 1},
            "headline": HEADLINE | headline,
        }
        manifest = execute(make_spec("evaluate", "compare", name, config, {"scores": scores}), tmp_path / name)
        return manifest, json.loads((tmp_path / name / "statistics.json").read_text())

    return run


def test_the_headline_is_the_paired_difference_of_the_means_over_seeds(publish_scores, compare):
    scores = [
        publish_scores("ours", 0, {"seen": [1] * 40, "unseen": [1, 1, 1, 0] * 10}),
        publish_scores("ours", 1, {"seen": [1] * 40, "unseen": [1, 1, 0, 0] * 10}),
        publish_scores("theirs", 0, {"seen": [0] * 40, "unseen": [1, 0, 0, 0] * 10}),
    ]
    manifest, statistics = compare(scores)
    headline = statistics["headline"]
    assert manifest.metrics["headline"] == headline
    assert headline["treatment_mean"] == pytest.approx(0.625) and headline["control_mean"] == pytest.approx(0.25)
    assert headline["difference"] == pytest.approx(0.375)
    assert headline["low"] < 0.375 < headline["high"] and headline["p"] < 0.05
    assert (headline["n_items"], headline["n_clusters"]) == (40, 20)
    assert headline["seeds"] == {"treatment": 2, "control": 1}


def test_the_table_holds_every_model_split_and_metric(publish_scores, compare):
    scores = [publish_scores(m, 0, {"seen": [1, 0] * 8, "unseen": [0, 1] * 6}) for m in ("ours", "theirs", "third")]
    _, statistics = compare(scores)
    table = {(row["model"], row["split"], row["metric"]): row for row in statistics["table"]}
    assert len(table) == 3 * 2 * len(METRICS) == len(statistics["table"])
    row = table["third", "seen", "parse"]
    assert row["mean"] == 0.5 and row["low"] <= 0.5 <= row["high"] and row["n_items"] == 16 and row["n_clusters"] == 8
    exact = table["third", "unseen", "exact"]
    assert exact["mean"] == 1 and exact["n_items"] == 6, "only items with gold"


def test_a_model_against_its_own_copy_shows_nothing(publish_scores, compare):
    values = {"seen": [1, 0] * 8, "unseen": [0, 1, 1] * 6}
    headline = compare([publish_scores(m, 0, values) for m in ("ours", "theirs")])[1]["headline"]
    assert (headline["difference"], headline["low"], headline["high"], headline["p"]) == (0, 0, 0, 1)


def test_models_scored_on_other_items_are_refused(publish_scores, compare):
    values = {"seen": [1, 0], "unseen": [0, 1]}
    scores = [publish_scores("ours", 0, values), publish_scores("theirs", 0, values, shift=1)]
    with pytest.raises(TrellisError, match="theirs was not scored on the same items"):
        compare(scores)


def test_a_headline_without_any_value_is_refused(publish_scores, compare):
    values = {"seen": [1, 0], "unseen": [0]}
    scores = [publish_scores(m, 0, values) for m in ("ours", "theirs")]
    with pytest.raises(TrellisError, match="no item of suite schema, split unseen has a value of exact"):
        compare(scores, metric="exact")


def test_the_same_spec_gives_the_same_bytes(publish_scores, compare):
    scores = [publish_scores(m, 0, {"seen": [1, 0], "unseen": [0, 1, 1, 1]}) for m in ("ours", "theirs")]
    assert compare(scores, "one")[0].files[0].sha256 == compare(scores, "two")[0].files[0].sha256
