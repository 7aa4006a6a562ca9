"""Quotas: shares met, deficits taken over as declared, caps kept, and the original's behaviours by their keys."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pools import pool
from trellis.errors import TrellisError
from trellis.filter.histogram import Histogram, ranks, settle
from trellis.filter.quotas import Layout, Target, parts, solve

GROUPS = [
    {"name": "maths", "topics": ["mathematics_statistics"], "share": 0.2},
    {"name": "learning", "topics": ["machine_learning_ai"], "share": 0.3},
    {"name": "general"},
]
BINS = [{"at_least": 2.5, "share": 0.5}, {"at_least": 3.25, "share": 0.3}, {"at_least": 0.0, "share": 0.2}]
RULE = {"kind": "topics_and_complexity", "groups": GROUPS, "bins": BINS}
SIGMOIDS = {"maths": [0.9, 0.1, 0.1], "learning": [0.1, 0.9, 0.1], "general": [0.1, 0.1, 0.9], "none": [0.1, 0.1, 0.1]}
LEVELS = {"2.5": 2.8, "3.25": 4.5, "0": 1.2}
LONGEST = 60


def planted(counts: dict[tuple[str, str], int], seed: int = 1) -> list[dict]:
    """Documents by group and bin, with scores that vary a little inside."""
    rng = random.Random(seed)
    rows = []
    for (group, level), count in counts.items():
        for _ in range(count):
            topics = [value + rng.uniform(-0.09, 0.09) for value in SIGMOIDS[group]]
            complexity = LEVELS[level] + rng.uniform(-0.2, 0.2)
            rows += [
                {"doc_id": rng.getrandbits(64), "topics": topics, "complexity": complexity}
                | {"n_tokens": rng.randint(5, LONGEST - 1), "key": (group, level)}
            ]
    return sorted(rows, key=lambda row: row["doc_id"])


def everywhere(count: int, **others: int) -> dict[tuple[str, str], int]:
    named = {tuple(key.split("@")): value for key, value in others.items()}
    return {key: named.get(key, count) for key in itertools.product(("maths", "learning", "general"), LEVELS)}


@pytest.fixture
def choose(select, tables, selected, plan):
    """choose(rows, tokens, rule) -> (the chosen rows, the source's part of the plan)."""
    number = itertools.count()

    def run(rows, tokens, rule, drop=(), **changes):
        name = f"m{next(number)}"
        shares = {"web": {"tokens": tokens, "select": "curated"}}
        made = select(tables({"web": rows}, name, drop=drop), shares, name=name, rules={"curated": rule}, **changes)
        ids = selected(made, "web")
        return [row for row in rows if row["doc_id"] in ids], plan(made)["sources"]["web"]

    return run


def tokens_by(rows: list[dict], key) -> dict:
    found: dict = {}
    for row in rows:
        found[key(row)] = found.get(key(row), 0) + row["n_tokens"] + 1
    return found


def score(row: dict) -> float:
    return row["topics"][0] + 0.1 * row["complexity"]


def test_every_group_and_bin_gets_its_share_within_a_document(choose):
    rows = planted(everywhere(300))
    chosen, entry = choose(rows, 20_000, RULE)
    found = tokens_by(chosen, lambda row: row["key"])
    for group, bin in itertools.product(GROUPS, BINS):
        wanted = group.get("share", 0.5) * bin["share"] * 20_000
        assert abs(found[group["name"], f"{bin['at_least']:g}"] - wanted) <= LONGEST
    assert 20_000 <= sum(found.values()) < 20_000 + LONGEST
    assert [row["share"] for row in entry["groups"]] == [0.2, 0.3, 0.5]
    for row in (*entry["groups"], *entry["bins"]):
        assert abs(row["selected_share"] - row["share"]) < 0.01
    assert sum(cell["asked_tokens"] for cell in entry["cells"]) == 20_000
    assert all(cell["granted_tokens"] == cell["asked_tokens"] for cell in entry["cells"])


def test_inside_a_cell_the_best_are_taken_and_equals_by_hash_alone(choose):
    rows = planted(everywhere(300))
    chosen, _ = choose(rows, 20_000, RULE)
    ids = {row["doc_id"] for row in chosen}
    for key in everywhere(0):
        there = [row for row in rows if row["key"] == key]
        worst = min(score(row) for row in there if row["doc_id"] in ids)
        passed_over = [score(row) for row in there if row["doc_id"] not in ids]
        # Held-out documents are passed over, however good they are: one in ten.
        assert sum(value > worst + 1.5 / 1024 for value in passed_over) < 0.2 * len(there)
    alike = [{**row, "topics": SIGMOIDS["maths"], "complexity": 2.8} for row in rows]
    chosen, _ = choose(alike, 5_000, RULE)
    ids = {row["doc_id"] for row in chosen}
    assert abs(np.mean([row["doc_id"] in ids for row in alike[::2]]) - len(ids) / len(alike)) < 0.03


def test_what_a_bin_lacks_the_groups_other_bins_take_in_their_order(choose):
    rows = planted(everywhere(300, **{"maths@3.25": 2}))
    chosen, entry = choose(rows, 20_000, RULE)
    found = tokens_by(chosen, lambda row: row["key"])
    few = sum(row["n_tokens"] + 1 for row in rows if row["key"] == ("maths", "3.25"))
    assert found.get(("maths", "3.25"), 0) <= few
    # The bin from 2.5 stands first in the rule: it takes over all of the deficit.
    assert abs(found["maths", "2.5"] + found.get(("maths", "3.25"), 0) - 0.8 * 4_000) <= LONGEST
    assert abs(found["maths", "0"] - 0.2 * 4_000) <= LONGEST
    (cell,) = [cell for cell in entry["cells"] if (cell["group"], cell["bin"]) == ("maths", "3.25")]
    assert cell["granted_tokens"] == cell["available_tokens"] <= few < cell["asked_tokens"] == 1_200
    (first,) = [cell for cell in entry["cells"] if (cell["group"], cell["bin"]) == ("maths", "2.5")]
    assert first["granted_tokens"] - first["asked_tokens"] == cell["asked_tokens"] - cell["granted_tokens"]


def scarce_maths(**group) -> tuple[list[dict], dict]:
    rows = planted(everywhere(300, **{f"maths@{level}": 3 for level in LEVELS}))
    return rows, {**RULE, "groups": [GROUPS[0], {**GROUPS[1], **group}, GROUPS[2]]}


def test_what_a_group_lacks_other_groups_take_in_their_order_up_to_their_caps(choose):
    rows, rule = scarce_maths()
    chosen, _ = choose(rows, 20_000, rule)
    found = tokens_by(chosen, lambda row: row["key"][0])
    assert abs(found["learning"] + found["maths"] - 10_000) <= 2 * LONGEST
    assert abs(found["general"] - 10_000) <= LONGEST
    rows, rule = scarce_maths(cap=0.35)
    chosen, _ = choose(rows, 20_000, rule)
    found = tokens_by(chosen, lambda row: row["key"][0])
    assert abs(found["learning"] - 7_000) <= LONGEST
    assert abs(found["general"] + found["maths"] - 13_000) <= 2 * LONGEST


def test_caps_that_leave_a_deficit_are_an_error_that_names_it(choose):
    rows, rule = scarce_maths(cap=0.3)
    rule["groups"] = [*rule["groups"][:2], {"name": "general", "share": 0.5, "cap": 0.5}]
    with pytest.raises(
        TrellisError, match=r"its quotas let [\d,]+ be taken .group maths, bin 2.5 lacks [\d,]+: raise the"
    ):
        choose(rows, 20_000, rule)


def test_without_redistribution_a_deficit_stays_as_in_the_original(choose):
    rows, rule = scarce_maths()
    chosen, entry = choose(rows, 20_000, {**rule, "redistribute": False}, tolerance=0.25)
    found = tokens_by(chosen, lambda row: row["key"][0])
    assert abs(found["learning"] - 6_000) <= LONGEST and abs(found["general"] - 10_000) <= LONGEST
    assert entry["selected_tokens"] < 17_000
    with pytest.raises(TrellisError, match="redistribute: true"):
        choose(rows, 20_000, {**rule, "redistribute": False})


def test_a_document_of_two_groups_counts_for_the_first_and_is_shown_for_both(choose):
    both = [{**row, "topics": [0.9, 0.9, 0.1]} for row in planted({("maths", "2.5"): 400}, seed=4)]
    rule = {**RULE, "kind": "topics_only"}
    rows = both + planted(everywhere(200, **{f"maths@{level}": 0 for level in LEVELS}))
    chosen, entry = choose(rows, 10_000, rule)
    found = tokens_by(chosen, lambda row: row["topics"] == [0.9, 0.9, 0.1])
    assert abs(found[True] - 2_000) <= LONGEST
    maths, learning, general = entry["groups"]
    assert abs(maths["selected_share"] - 0.2) < 0.01 and abs(learning["selected_share"] - 0.3) < 0.01
    assert abs(learning["selected_share_overlapping"] - 0.5) < 0.01
    assert general["selected_share_overlapping"] == 1.0


def original(rows: list[dict], total: int, thresholds, bonus: float, shares=(0.2, 0.3, None)) -> list[dict]:
    """The original's way, a document at a time: floors only, and what another group chose counts."""

    def groups(row):
        return [place for place in range(2) if row["topics"][place] >= thresholds[place]] + [2]

    def relevance(row):
        active = sum(value >= threshold for value, threshold in zip(row["topics"], thresholds, strict=True))
        return row["topics"][0] + min(bonus * active, 0.15) + 0.1 * row["complexity"]

    def bin_of(row):
        return max((each for each in BINS if row["complexity"] >= each["at_least"]), key=lambda each: each["at_least"])

    chosen: dict[int, dict] = {}
    for group, share in enumerate(shares):
        taken = [row for row in chosen.values() if share is None or group in groups(row)]
        need = (1 if share is None else share) * total - sum(row["n_tokens"] + 1 for row in taken)
        for each in BINS:
            left = need * each["share"]
            for row in sorted(rows, key=relevance, reverse=True):
                if left > 0 and row["doc_id"] not in chosen and group in groups(row) and bin_of(row) == each:
                    chosen[row["doc_id"]] = row
                    left -= row["n_tokens"] + 1
    return list(chosen.values())


@pytest.mark.parametrize("bonus", [0.0, 0.05])
def test_floors_only_is_what_the_original_chose(choose, bonus):
    rows = pool(7, 1500, contaminated_by=None)
    rule = {**RULE, "caps": False, "redistribute": False, "threshold": 0.3, "label_bonus": bonus}
    for shares in ((0.2, 0.3), (0.1, 0.6)):
        groups = [{**group, "share": share} for group, share in zip(GROUPS, shares, strict=False)]
        rule["groups"] = [*groups, GROUPS[2]]
        chosen, entry = choose(rows, 12_800, rule, validation_share=1e-12, tolerance=0.1)
        expected = original(rows, 12_801, [0.3] * 3, bonus, (*shares, None))
        ids, wanted = ({row["doc_id"] for row in found} for found in (chosen, expected))
        assert len(ids & wanted) > 0.97 * len(ids | wanted)
    rule["groups"] = GROUPS
    chosen, entry = choose(rows, 12_800, rule, validation_share=1e-12, tolerance=0.1)
    # Overlapping labels overfill the floors: the defect that caps repair.
    assert entry["groups"][0]["selected_share_overlapping"] > 0.5
    repaired, entry = choose(rows, 6_400, {**rule, "caps": True, "redistribute": True}, validation_share=1e-12)
    assert abs(entry["groups"][0]["selected_share"] - 0.2) < 0.01
    assert abs(sum(row["n_tokens"] + 1 for row in repaired) - 6_400) < 64 + LONGEST


def test_a_floor_needs_no_more_than_other_groups_have_left_open(choose):
    kinds = {"both": ([0.9, 0.9, 0.1], 70), "learning": ([0.1, 0.9, 0.1], 200), "neither": ([0.2, 0.1, 0.1], 200)}
    rng = random.Random(1)
    rows = [
        {"doc_id": rng.getrandbits(64), "n_tokens": 9, "topics": topics, "complexity": 2.0, "key": key}
        for key, (topics, count) in kinds.items()
        for _ in range(count)
    ]
    groups = [{**GROUPS[0], "share": 0.3}, {**GROUPS[1], "share": 0.4}, GROUPS[2]]
    rule = {**RULE, "kind": "topics_only", "groups": groups, "caps": False}
    chosen, _ = choose(rows, 2_000, rule, validation_share=1e-12)
    # Mathematics takes 60 of both; learning wants 80 in all: 10 more of both, then 10 of its own; the rest is the best left.
    assert tokens_by(chosen, lambda row: row["key"]) == {"both": 700, "learning": 100, "neither": 1_200}
    chosen, _ = choose(rows, 2_000, {**rule, "caps": True}, validation_share=1e-12)
    assert tokens_by(chosen, lambda row: row["key"]) == {"both": 600, "learning": 800, "neither": 600}


def test_thresholds_are_the_classifiers_or_one_for_all(choose):
    rows = pool(7, 900, contaminated_by=None)
    for threshold, at in (("calibrated", (0.5, 0.6)), (0.3, (0.3, 0.3))):
        rule = {**RULE, "kind": "topics_only", "threshold": threshold}
        _, entry = choose(rows, 5_000, rule, validation_share=1e-12)
        maths = [row["topics"][0] >= at[0] for row in rows]
        learning = [row["topics"][1] >= at[1] for row in rows]
        alone = sum(one and not other for one, other in zip(learning, maths, strict=True))
        assert [each["available_documents"] for each in entry["groups"][:2]] == [sum(maths), alone]


def test_documents_without_an_active_topic_are_outside_unless_a_group_takes_all(choose):
    rows = planted({**everywhere(100), ("none", "2.5"): 100})
    named = [*GROUPS[:2], {"name": "law", "topics": ["law_government"]}]
    chosen, entry = choose(rows, 5_000, {**RULE, "groups": named})
    assert entry["documents"]["outside"] > 80 and not any(row["key"][0] == "none" for row in chosen)
    chosen, entry = choose(rows, 12_000, RULE)
    assert entry["documents"]["outside"] == 0 and any(row["key"][0] == "none" for row in chosen)


def test_arms_differ_in_the_rule_alone(select, tables, selected, plan):
    made = tables({"web": pool(3, 2000), "wiki": pool(4, 400)})
    shares = {"web": {"tokens": 12_800, "select": "curated"}, "wiki": {"tokens": 640}}
    arms = {}
    for arm in (None, "topics_only", "complexity_only", "random"):
        arms[arm] = select(made, shares, name=f"arm-{arm}", rules={"curated": RULE}, arm=arm)
    entries = {arm: plan(found)["sources"]["web"] for arm, found in arms.items()}
    for arm, found in arms.items():
        assert entries[arm]["kind"] == (arm or "topics_and_complexity")
        assert selected(found, "wiki") == selected(arms[None], "wiki")
        assert 12_801 <= entries[arm]["selected_tokens"] < 12_801 + 61
        for source in ("web", "wiki"):
            assert selected(found, source, "validation") == selected(arms[None], source, "validation")
        assert entries[arm]["documents"]["available"] == entries[None]["documents"]["available"]
    assert len({frozenset(selected(found, "web")) for found in arms.values()}) == 4

    def misses(arm, what):
        return max(abs(row["selected_share"] - row["share"]) for row in entries[arm][what])

    assert misses(None, "groups") < 0.01 > misses(None, "bins")
    assert misses("topics_only", "groups") < 0.01 and misses("topics_only", "bins") > 0.05
    assert misses("complexity_only", "bins") < 0.01 and misses("complexity_only", "groups") > 0.05
    assert misses("random", "groups") > 0.05 and misses("random", "bins") > 0.05
    pools = [entry["relevance"]["pool"] for entry in entries.values()]
    assert len(set(pools)) == 1
    maths = {row["doc_id"]: row["topics"][0] for row in pool(3, 2000) if row["topics"][0] >= 0.5}
    means = {
        arm: np.mean([maths[each] for each in selected(found, "web") if each in maths]) for arm, found in arms.items()
    }
    assert means["topics_only"] > 0.9 and means[None] > 0.9
    assert abs(means["random"] - 0.75) < 0.05 and abs(means["complexity_only"] - 0.75) < 0.05


SLICES = [
    {"name": "schemas", "values": ["json", "yaml"], "share": 0.3, "order": "random"},
    {"name": "python", "values": ["python"], "share": 0.4, "structured_floor": 2.0},
    {"name": "other", "order": "random"},
]
CODE = {"kind": "code_slices", "slices": SLICES}


def code(count: int, seed: int = 5) -> list[dict]:
    rng = random.Random(seed)
    rows = pool(seed, count, topics=None, complexity=None, contaminated_by=None)
    for row in rows:
        row["slice"] = rng.choice(["json", "yaml", "python", "python", "c", None])
        row |= {"code_quality": rng.uniform(1, 5), "structured_data": rng.uniform(0, 3)}
    return rows


def test_slices_of_code_by_floor_and_structure(choose):
    rows = code(2000)
    chosen, entry = choose(rows, 10_000, CODE)
    found = tokens_by(chosen, lambda row: {"json": 0, "yaml": 0, "python": 1}.get(row["slice"], 2))
    assert [abs(found[place] - wanted) <= LONGEST for place, wanted in enumerate((3_000, 4_000, 3_000))] == [True] * 3
    assert all(row["code_quality"] > 1.5 for row in chosen)

    def rank(row):
        return row["structured_data"] / 3 + 0.1 * (row["code_quality"] >= 3.5)

    taken = [row for row in chosen if row["slice"] == "python"]
    assert all(row["structured_data"] >= 2.0 for row in taken)
    worst, ids = min(map(rank, taken)), {row["doc_id"] for row in chosen}
    fit = [
        row for row in rows if row["slice"] == "python" and row["structured_data"] >= 2 and row["code_quality"] > 1.5
    ]
    better = [row for row in fit if rank(row) > worst + 1.2 / 1024 and row["doc_id"] not in ids]
    assert len(better) < 0.2 * len(fit)
    others = [row["structured_data"] for row in chosen if row["slice"] == "c"]
    assert abs(np.mean(others) - 1.5) < 0.3
    assert [row["name"] for row in entry["groups"]] == ["schemas", "python", "other"]


def test_raw_slices_skip_the_floor_where_the_original_is_asked_for(choose):
    rows = code(2000)
    for row in rows[::10]:
        row["code_quality"] = None
    chosen, entry = choose(rows, 10_000, {**CODE, "floor_everywhere": False})
    poor = [row for row in chosen if row["code_quality"] is None or row["code_quality"] <= 1.5]
    assert poor and all(row["slice"] != "python" for row in poor)
    unscored = entry["documents"]["unscored"]
    chosen, entry = choose(rows, 10_000, CODE)
    assert all(row["code_quality"] and row["code_quality"] > 1.5 for row in chosen)
    assert entry["documents"]["unscored"] > unscored > 0


def test_a_source_without_slices_is_one_slice(choose):
    rows = code(1500)
    _, entry = choose(rows, 10_000, CODE, drop=("slice",))
    assert [row["available_documents"] > 0 for row in entry["groups"]] == [False, False, True]
    assert entry["selected_tokens"] >= 10_000


def layouts():
    share = st.lists(st.integers(1, 9), min_size=1, max_size=4)
    return st.tuples(share, share, st.booleans(), st.booleans(), st.integers(0, 2**32), st.integers(1, 3_000))


@settings(max_examples=150, deadline=None)
@given(layouts())
def test_a_plan_never_exceeds_pool_or_total_and_reaches_it_where_it_can(drawn):
    groups, bins, overlapping, capped, seed, total = drawn
    cap = [None if overlapping or not capped else min(1.0, 1.5 * each / sum(groups)) for each in groups]
    layout = Layout(
        [Target(str(place), each / sum(groups), cap[place]) for place, each in enumerate(groups)],
        [Target(str(place), each / sum(bins)) for place, each in enumerate(bins)],
        overlapping,
    )
    there = np.random.default_rng(seed).integers(0, 60, (layout.cells, 8))
    if overlapping:
        there[: len(bins)] = 0  # no document is in no group
    plan = solve(layout, there, total)
    assert (plan.tokens >= 0).all() and (plan.tokens <= there.sum(axis=1)).all()
    assert plan.tokens.sum() <= total
    assert plan.asked.sum() == total
    if not any(cap):
        assert plan.tokens.sum() == min(total, there.sum())
    for row, limit in zip(plan.granted, cap, strict=True):
        assert limit is None or row.sum() <= max(limit * total, 0) + 1


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(0, 200))
def test_what_is_cut_off_is_the_plan_to_within_one_document(seed, cells, documents):
    rng = np.random.default_rng(seed)
    records = np.zeros(documents, [("cell", "i4"), ("rank", "i4"), ("hash", "u8"), ("tokens", "i8")])
    records["cell"] = rng.integers(0, cells, documents)
    records["hash"] = rng.integers(0, 2**64, documents, np.uint64)
    records["rank"] = ranks(rng.choice([0.0, 0.3, 0.31, 1.0], documents), records["hash"], 6)
    records["tokens"] = rng.integers(1, 50, documents)
    histogram = Histogram(cells, 6)
    histogram.add(records)
    there = histogram.tokens.sum(axis=1)
    needed = (there * rng.random(cells)).astype(np.int64)
    cut, before = histogram.cut(needed)
    sure = records[records["rank"] < cut[records["cell"]]]
    tied = settle(records[records["rank"] == cut[records["cell"]]], needed - before)
    total = sure["tokens"].sum() + tied["tokens"].sum()
    assert needed.sum() <= total < needed.sum() + 50
    for cell in range(cells):
        mine = [found["tokens"][found["cell"] == cell].sum() for found in (sure, tied)]
        assert abs(sum(mine) - needed[cell]) < 50


@given(st.integers(0, 10**11), st.lists(st.integers(1, 100), min_size=1, max_size=12))
def test_parts_are_whole_and_sum_to_the_total(total, weights):
    shares = [weight / sum(weights) for weight in weights]
    found = parts(total, shares)
    assert sum(found) == total
    assert all(abs(each - share * total) <= 1.01 for each, share in zip(found, shares, strict=True))
    assert parts(total, [*shares[:-1], None]) == found
