"""The comparison of fabricated score tables: every part of statistics.json, and what is refused."""

import json
from collections import Counter

import pandas as pd
import pytest
from scipy import stats

from publishing import publish
from trellis.address import digest
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.evaluate import METRICS

PRIMARY = {"treatment": "ours", "control": "theirs", "suite": "schema", "split": "unseen", "metric": "schema_valid"}
OURS = {0: [1, 1, 1, 0] * 10, 1: [1, 1, 0, 0] * 10, 2: [1, 1, 1, 0] * 10}
THEIRS = {0: [1, 0, 0, 0] * 10, 1: [0, 0, 0, 1] * 10, 2: [1, 0, 1, 0] * 10}


def row(key, suite, split, cluster, mode="free", stratum="flat", **scores):
    return {
        "id": key,
        "suite": suite,
        "split": split,
        "stratum": stratum,
        "cluster": cluster,
        "mode": mode,
        **dict.fromkeys(METRICS),
        **{metric: float(value) for metric, value in scores.items()},
    }


def schema_rows(unseen, seen=(1, 0) * 8, modes=("free",), bonus=()):
    """Two items to a cluster; every second one has gold. Constrained answers are right where `bonus` says so as well."""
    rows = []
    for mode in modes:
        for split, values in (("seen", seen), ("unseen", unseen)):
            for i, value in enumerate(values):
                value = max(value, mode == "constrained" and i in bonus)
                scores = {"parse": 1, "schema_valid": value, "key_f1": value, "truncated": 0}
                scores |= {"exact": value, "leaf_f1": value} if i % 2 else {}
                rows.append(row(f"{split}-{i}", "schema", split, f"{split}-{i // 2}", mode, **scores))
    return rows


@pytest.fixture
def scored(tmp_path):
    """scored(model, seed, rows) -> a folder, as `score` leaves it."""

    def write(model, seed, rows):
        folder = tmp_path / f"{model}-{seed}"
        folder.mkdir()
        pd.DataFrame(rows).to_parquet(folder / "scores.parquet")
        return publish(folder, "evaluate", "score", metrics={"model": model, "seed": seed})

    return write


@pytest.fixture
def compare(make_spec, tmp_path):
    """compare(scores, ...) -> (manifest, statistics); `nearest`: {(suite, id): (bucket, similarity)}."""

    def run(scores, name="compare", secondary=(), nearest=None, knowledge=(), margin=0.05, **primary):
        folder = tmp_path / f"distance-{name}"
        folder.mkdir()
        rows = [(key, suite, *near) for (suite, key), near in (nearest or {}).items()]
        pd.DataFrame(rows, columns=["id", "suite", "bucket", "similarity"]).to_parquet(folder / "nearest.parquet")
        prereg = {"primary": PRIMARY | primary, "secondary": [PRIMARY | each for each in secondary], "margin": margin}
        config = {"statistics": {"resamples": 500, "confidence": 0.9, "seed": 1}, "prereg": prereg}
        inputs = {"scores": scores, "distance": [publish(folder)], "knowledge": knowledge}
        manifest = execute(make_spec("evaluate", "compare", name, config, inputs), tmp_path / name)
        return manifest, json.loads((tmp_path / name / "statistics.json").read_text())

    return run


@pytest.fixture
def both(scored):
    """Three seeds of either model, ours the better one, over 40 unseen items in 20 clusters."""
    return [
        scored(model, seed, schema_rows(values))
        for model, by_seed in (("ours", OURS), ("theirs", THEIRS))
        for seed, values in by_seed.items()
    ]


def test_the_primary_contrast_is_the_paired_difference_with_its_parts(both, compare):
    manifest, statistics = compare(both)
    primary = statistics["primary"]
    assert manifest.metrics["primary"] == primary
    assert primary["treatment_mean"] == pytest.approx(2 / 3) and primary["control_mean"] == pytest.approx(1 / 3)
    assert primary["difference"] == pytest.approx(1 / 3)
    assert primary["low"] < 1 / 3 < primary["high"] and primary["p"] < 0.05
    assert (primary["n_items"], primary["n_clusters"]) == (40, 20)
    assert primary["seeds"] == {"treatment": 3, "control": 3} and primary["enough_seeds"]
    assert (primary["mode"], primary["confidence"], primary["resamples"]) == ("free", 0.9, 500)
    # By hand: the seeds' means are 3/4, 1/2, 3/4 and 1/4, 1/4, 1/2, so s^2 / k is 1/144 for either.
    parts = primary["components"]
    assert parts["treatment_seed_se"] == pytest.approx(1 / 12) and parts["control_seed_se"] == pytest.approx(1 / 12)
    crossed = max(parts["items_se"] ** 2 - parts["overlap_se"] ** 2, 0) + 2 / 144
    assert parts["total_se"] ** 2 == pytest.approx(max(crossed, parts["items_se"] ** 2))
    half = stats.t.ppf(0.95, parts["df"]) * parts["total_se"]
    assert (primary["low"], primary["high"]) == pytest.approx((1 / 3 - half, 1 / 3 + half))
    assert primary["p"] == pytest.approx(2 * stats.t.sf(1 / 3 / parts["total_se"], parts["df"]))
    assert primary["items_low"] > primary["low"] and primary["items_high"] < primary["high"]
    power = stats.nct.sf(stats.t.ppf(0.95, parts["df"]), parts["df"], primary["mde"] / parts["total_se"])
    assert power == pytest.approx(0.8, abs=1e-4)
    # Of every four items most seeds of ours have two or three right where most of theirs have one: 20 to none.
    assert primary["mcnemar_p"] == pytest.approx(stats.binomtest(20, 20).pvalue)
    assert not primary["equivalent"]


def test_a_single_seed_has_the_interval_of_the_items_alone(scored, compare):
    scores = [scored("ours", seed, schema_rows(values)) for seed, values in OURS.items()]
    primary = compare([*scores, scored("theirs", 0, schema_rows(THEIRS[0]))])[1]["primary"]
    assert (primary["low"], primary["high"]) == (primary["items_low"], primary["items_high"])
    parts = primary["components"]
    assert parts["control_seed_se"] is None and parts["treatment_seed_se"] == pytest.approx(1 / 12)
    assert parts["total_se"] == parts["items_se"]
    assert primary["seeds"] == {"treatment": 3, "control": 1} and primary["enough_seeds"] is False


def test_two_seeds_are_fewer_than_the_three_that_were_written_down(both, compare):
    assert compare([*both[:2], *both[3:]])[1]["primary"]["enough_seeds"] is False


def test_the_secondary_family_is_corrected_by_holm(both, compare):
    family = [{"split": "seen"}, {"metric": "key_f1"}, {"metric": "parse", "split": "all"}]
    _, statistics = compare(both, secondary=family)
    first, second, third = statistics["secondary"]
    assert [each["metric"] for each in statistics["secondary"]] == ["schema_valid", "key_f1", "parse"]
    assert second["p"] < 0.05 and first["p"] == third["p"] == 1
    assert second["holm_p"] == pytest.approx(3 * second["p"]) and first["holm_p"] == third["holm_p"] == 1
    assert [each["holm_significant"] for each in statistics["secondary"]] == [False, second["holm_p"] <= 0.1, False]
    assert "holm_p" not in statistics["primary"]
    assert first["mcnemar_p"] == 1 and second["mcnemar_p"] is None, "key_f1 is no right or wrong"


def test_items_without_gold_are_no_part_of_an_exact_match(both, compare):
    primary = compare(both, metric="exact")[1]["primary"]
    assert (primary["n_items"], primary["n_clusters"]) == (20, 20)


def test_a_null_without_any_discordance_is_not_certain(scored, compare):
    scores = [scored(model, seed, schema_rows([0] * 40)) for model in ("ours", "theirs") for seed in range(3)]
    primary = compare(scores)[1]["primary"]
    assert (primary["difference"], primary["p"], primary["mcnemar_p"]) == (0, 1, 1)
    # Twenty clusters without any difference leave room for one of fourteen (the rule of three: 3 / 20).
    assert -primary["low"] == primary["high"] == pytest.approx(0.11, abs=0.02)
    assert primary["mde"] > 0.1 and not primary["equivalent"]


def test_the_table_holds_every_model_variant_split_mode_and_metric(scored, compare):
    modes = ("free", "constrained")
    scores = [
        scored(model, seed, schema_rows([0, 1] * 6, modes=modes))
        for model in ("ours", "theirs", "third")
        for seed in (0, 1, None)
    ]
    _, statistics = compare(scores)
    table = {
        tuple(each[k] for k in ("model", "variant", "split", "mode", "metric")): each for each in statistics["table"]
    }
    there = {"parse", "schema_valid", "exact", "leaf_f1", "key_f1", "truncated"}
    assert len(table) == len(statistics["table"]) == 3 * 2 * 3 * 2 * len(there)
    assert {key[4] for key in table} == there, "a metric that no item has has no row"
    one = table["third", "tuned", "seen", "free", "schema_valid"]
    assert one["mean"] == 0.5 and one["low"] < 0.5 < one["high"] and (one["n_items"], one["n_clusters"]) == (16, 8)
    assert one["seeds"] == 2 and table["third", "base", "seen", "free", "parse"]["seeds"] == 0
    assert table["third", "tuned", "all", "free", "parse"]["n_items"] == 28
    exact = table["third", "tuned", "unseen", "free", "exact"]
    # All six right, in six clusters: Wilson's interval ends at 1, and does not begin there.
    assert (exact["mean"], exact["high"], exact["n_items"]) == (1, 1, 6) and 0.4 < exact["low"] < 0.8


def test_whatever_no_contrast_names_is_exploratory(both, scored, compare):
    third = [scored("third", 0, schema_rows(OURS[0])), scored("ours", None, schema_rows(OURS[0]))]
    _, statistics = compare([*both, *third], secondary=[{"metric": "parse", "split": "seen"}])
    kept = {
        tuple(each[key] for key in ("model", "variant", "split", "metric"))
        for each in statistics["table"]
        if not each["exploratory"]
    }
    named = (("unseen", "schema_valid"), ("seen", "parse"))
    assert kept == {(model, "tuned", *what) for model in ("ours", "theirs") for what in named}
    assert all(each["exploratory"] for each in statistics["interactions"])


def test_splits_by_distance_stand_beside_those_of_the_suite(both, compare):
    buckets = [("near", 0.5), ("far", 0.1), ("held_out_feature", 0.05), ("far", 0.2)]
    nearest = {("schema", f"unseen-{i}"): buckets[i // 2 % 4] for i in range(40)}
    # A suite's own word for its seen items stands, whatever their distance is.
    nearest |= {("schema", f"seen-{i}"): ("seen", 1.0) for i in range(12)}
    _, statistics = compare(both, nearest=nearest, split="far")
    items = {each["split"]: each["n_items"] for each in statistics["table"] if each["metric"] == "parse"}
    assert items == {"all": 56, "seen": 16, "unseen": 40, "near": 10, "far": 20, "held_out_feature": 10}
    assert (statistics["primary"]["n_items"], statistics["primary"]["n_clusters"]) == (20, 10)
    (bars,) = [each for each in statistics["by_similarity"] if each["metric"] == "schema_valid"]
    assert [(bar["low"], bar["high"], bar["items"]) for bar in bars["bins"]] == [
        (0, 0.2, 20),
        (0.2, 0.4, 10),
        (0.4, 0.6, 10),
        (0.8, 1, 12),
    ]
    last = bars["bins"][-1]["models"]["ours"]
    assert last["mean"] == 0.5 and last["low"] < 0.5 < last["high"]


def test_the_interaction_is_what_the_treatment_gains_on_unseen_schemas_beyond_what_it_gains_on_seen_ones(
    scored, compare
):
    seen = {"ours": [1, 1, 1, 0] * 4, "theirs": [1, 1, 0, 0] * 4}
    scores = [
        scored(model, seed, schema_rows(values, seen[model]))
        for model, by_seed in (("ours", OURS), ("theirs", THEIRS))
        for seed, values in by_seed.items()
    ]
    (gap,) = compare(scores)[1]["interactions"]
    assert (gap["split"], gap["against"], gap["metric"]) == ("unseen", "seen", "schema_valid")
    assert gap["treatment_mean"] == pytest.approx(2 / 3 - 3 / 4) and gap["control_mean"] == pytest.approx(1 / 3 - 1 / 2)
    assert gap["difference"] == pytest.approx(1 / 3 - 1 / 4)
    assert gap["low"] < 1 / 12 < gap["high"] and gap["n_items"] == 56
    # The two sides are different items: their variances add up. A generous band for 500 draws.
    parts = (
        compare(scores, "alone")[1]["primary"]["components"],
        compare(scores, "seen", split="seen")[1]["primary"]["components"],
    )
    assert gap["components"]["items_se"] ** 2 == pytest.approx(sum(each["items_se"] ** 2 for each in parts), rel=0.25)


def test_balanced_accuracy_of_calling_is_one_half_for_a_model_that_never_calls(scored, compare):
    def rows(calls):
        answerable = [
            row(f"a{i}", "tools", "unseen", f"a{i}", called=c, ast=c, parse=1) for i, c in enumerate(calls[0])
        ]
        others = [row(f"b{i}", "tools", "unseen", f"b{i}", called=c, parse=1) for i, c in enumerate(calls[1])]
        return answerable + others

    scores = [
        scored("ours", 0, rows(([1, 1, 1, 0], [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]))),
        scored("theirs", 0, rows(([0] * 4, [0] * 10))),
    ]
    _, statistics = compare(scores, suite="tools", metric="ast", split="all")
    found = {
        each["model"]: each
        for each in statistics["table"]
        if (each["metric"], each["split"]) == ("balanced_calling", "all")
    }
    assert found["ours"]["mean"] == pytest.approx((3 / 4 + 9 / 10) / 2) and found["ours"]["n_items"] == 14
    assert found["theirs"]["mean"] == 0.5
    # By hand, from the two rates' own variances, each a quarter of itself; the bootstrap's factor is 14 / 13.
    variance = (3 / 4 * 1 / 4 / 4 + 9 / 10 * 1 / 10 / 10) / 4 * 14 / 13
    width = found["ours"]["high"] - found["ours"]["low"]
    assert width == pytest.approx(2 * stats.t.ppf(0.95, 13) * variance**0.5, rel=0.15)
    assert statistics["primary"]["n_items"] == 4, "irrelevant items are no part of the accuracy of calls"


def test_every_answer_of_the_decomposition_has_one_heading(scored, compare):
    kinds = [
        {"parse": 1, "schema_valid": 1, "exact": 1, "truncated": 0},
        {"parse": 1, "schema_valid": 1, "truncated": 0},
        {"parse": 1, "schema_valid": 1, "exact": 0, "truncated": 0},
        {"parse": 1, "schema_valid": 0, "exact": 0, "truncated": 0},
        {"parse": 0, "schema_valid": 0, "truncated": 0},
        {"parse": 0, "schema_valid": 0, "exact": 0, "truncated": 1},
        {"parse": 1, "truncated": 0},
    ]
    rows = [row(f"{i}", "schema", "unseen", f"{i}", **scores) for i, scores in enumerate(kinds)]
    _, statistics = compare([scored(model, 0, rows) for model in ("ours", "theirs")])
    found = next(each for each in statistics["decomposition"] if (each["model"], each["split"]) == ("ours", "all"))
    assert found["items"] == 6, "an item without a schema is under none of them"
    shares = {key: found[key] for key in ("correct", "wrong_value", "bad_schema", "no_parse", "truncated")}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares == pytest.approx(
        {"correct": 2 / 6} | dict.fromkeys(["wrong_value", "bad_schema", "no_parse", "truncated"], 1 / 6)
    )


def test_the_format_tax_is_over_the_items_answered_in_both_modes(scored, compare):
    modes = ("free", "constrained")
    scores = []
    for model in ("ours", "theirs"):
        for seed, values in OURS.items():
            rows = schema_rows(values, modes=modes, bonus=range(0, 40, 2))
            scores.append(
                scored(
                    model, seed, [each for each in rows if (each["id"], each["mode"]) != ("unseen-1", "constrained")]
                )
            )
    _, statistics = compare(scores)
    (tax,) = [
        each
        for each in statistics["format_tax"]
        if (each["model"], each["split"], each["metric"]) == ("ours", "unseen", "schema_valid")
    ]
    # Item 1, which every seed has right, has no constrained answer; one seed gains ten answers.
    assert (tax["free"], tax["constrained"]) == (pytest.approx(77 / 117), pytest.approx(87 / 117))
    assert tax["difference"] == pytest.approx(10 / 117) and tax["low"] < 10 / 117 < tax["high"]
    assert {each["metric"] for each in statistics["format_tax"]} == {"exact", "schema_valid"}


def test_the_seeds_stand_apart(both, compare):
    (ours, theirs) = compare(both)[1]["seeds"]
    assert ours["by_seed"] == {"0": 0.75, "1": 0.5, "2": 0.75} and theirs["by_seed"] == {"0": 0.25, "1": 0.25, "2": 0.5}
    assert (ours["model"], ours["split"], ours["metric"]) == ("ours", "unseen", "schema_valid")


def test_knowledge_is_the_mean_over_seeds_with_their_spread(both, compare, tmp_path):
    def known(seed, accuracy):
        figures = {"items": 100, "acc": accuracy, "acc_stderr": 0.03, "acc_norm": None, "acc_norm_stderr": None}
        return publish(tmp_path / f"k{seed}", metrics={"model": "ours", "seed": seed, "tasks": {"piqa": figures}})

    base, tuned = compare(both, knowledge=[known(None, 0.5), known(0, 0.6), known(1, 0.7)])[1]["knowledge"]
    assert base == {
        "model": "ours",
        "variant": "base",
        "task": "piqa",
        "metric": "acc",
        "value": 0.5,
        "stderr": 0.03,
        "items": 100,
    }
    assert tuned["value"] == pytest.approx(0.65) and tuned["stderr"] == pytest.approx((0.03**2 + 0.005 / 2) ** 0.5)


def test_what_was_written_down_is_hashed_and_shown(both, compare):
    _, statistics = compare(both)
    assert statistics["prereg"]["sha256"] == digest(statistics["prereg"]["entry"])
    assert statistics["prereg"]["entry"]["primary"] == PRIMARY | {"mode": "free"}
    assert {key: statistics["method"][key] for key in ("margin", "minimum_seeds", "power")} == {
        "margin": 0.05,
        "minimum_seeds": 3,
        "power": 0.8,
    }


def test_the_order_of_the_inputs_changes_no_number(both, compare):
    first, second = compare(both, "first")[1], compare(both[::-1], "second")[1]
    for part in first.keys() - {"seeds"}:
        assert sorted(map(str, first[part])) == sorted(map(str, second[part])), part


def test_the_same_spec_gives_the_same_bytes(both, compare):
    assert compare(both, "one")[0].files[0].sha256 == compare(both, "two")[0].files[0].sha256


def test_models_scored_on_other_items_are_refused(scored, compare):
    scores = [scored("ours", 0, schema_rows([0, 1])), scored("theirs", 0, schema_rows([0, 1, 1]))]
    with pytest.raises(TrellisError, match="theirs was not scored on the same items"):
        compare(scores)


@pytest.mark.parametrize(
    ("primary", "sentence"),
    [
        (
            {"metric": "ast"},
            r"prereg.primary.metric: the unseen items of suite schema have no ast when decoding is free "
            r"\(they have: exact, key_f1, leaf_f1, parse, schema_valid, truncated\)",
        ),
        ({"mode": "constrained"}, r"prereg.primary.metric: .* no schema_valid when decoding is constrained"),
        ({"split": "far"}, r"prereg.primary.split: suite schema has no far items \(it has: all, seen, unseen\)"),
    ],
)
def test_a_contrast_of_what_the_items_do_not_have_is_refused(both, compare, primary, sentence):
    with pytest.raises(TrellisError, match=sentence):
        compare(both, **primary)


def test_the_parts_agree_with_each_other(both, compare):
    """The contrast's means are the table's, and the table's are those of the seeds."""
    _, statistics = compare(both)
    table = {each["model"]: each["mean"] for each in statistics["table"] if not each["exploratory"]}
    assert table == {"ours": statistics["primary"]["treatment_mean"], "theirs": statistics["primary"]["control_mean"]}
    assert Counter(each["model"] for each in statistics["seeds"]) == {"ours": 1, "theirs": 1}
    for each in statistics["seeds"]:
        assert sum(each["by_seed"].values()) / 3 == pytest.approx(table[each["model"]])
