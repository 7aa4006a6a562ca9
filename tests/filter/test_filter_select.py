"""filter_select: exact quotas from clean documents, the same held-out ones for all, shortages named."""

import numpy as np
import pytest

from pools import MATHS, pool
from trellis.document_split import mixed
from trellis.errors import TrellisError

BINS = [{"at_least": 3.0, "share": 0.6}, {"at_least": 0.0, "share": 0.4}]
RULE = {"kind": "topics_and_complexity", "groups": [{"name": "all"}], "bins": BINS}
RULES = {"curated": RULE}


def held_out(rows: list[dict], seed: int = 3, share: float = 0.1) -> np.ndarray:
    return mixed(np.array([row["doc_id"] for row in rows], np.uint64), seed, "validation") / 2.0**64 < share


def test_quotas_are_met_from_clean_documents_and_by_no_more_than_one_document(select, tables, plan, selected):
    rows = pool(1, 600)
    gone = [row["doc_id"] for row in rows[::7]]
    made = select(tables({"web": rows}), {"web": {"tokens": 6400}}, gone={"web": gone})
    chosen = selected(made, "web")
    by_id = {row["doc_id"]: row for row in rows}
    tokens = [by_id[doc_id]["n_tokens"] + 1 for doc_id in chosen]
    assert 6401 <= sum(tokens) < 6401 + max(tokens)
    assert not set(chosen) & set(gone)
    assert all(by_id[doc_id]["contaminated_by"] is None for doc_id in chosen)
    assert sorted(chosen.values()) == list(range(len(chosen)))
    assert sorted(chosen) != sorted(chosen, key=chosen.get)
    account = plan(made)["sources"]["web"]
    assert (account["asked_tokens"], account["selected_tokens"], account["granted_tokens"]) == (6400, sum(tokens), 6400)
    fates = ("duplicates", "contaminated", "held_out", "unscored", "outside", "available")
    for counts, total in ((account["documents"], 600), (account["tokens"], sum(r["n_tokens"] + 1 for r in rows))):
        assert counts["raw"] == sum(counts[fate] for fate in fates) == total
    assert account["documents"]["duplicates"] == len(gone)
    assert account["selection_ratio"] == round(sum(tokens) / account["tokens"]["available"], 4)


def test_a_near_duplicate_of_a_contaminated_document_counts_as_contaminated(select, tables, plan, selected):
    rows = pool(1, 300, contaminated_by=None)
    gone = [row["doc_id"] for row in rows[::5]]
    made = select(tables({"web": rows}), {"web": {"tokens": 640}}, gone={"web": gone}, contaminated=True)
    counts = plan(made)["sources"]["web"]["documents"]
    assert (counts["duplicates"], counts["contaminated"]) == (0, len(gone))
    assert not set(selected(made, "web")) & set(gone)


def test_held_out_documents_are_the_same_for_every_mixture_and_listed_for_every_source(select, tables, selected):
    made = tables({"web": pool(1, 600), "wiki": pool(2, 300)})
    one = select(made, {"web": {"tokens": 2000}}, name="one")
    shares = {"web": {"tokens": 4000, "select": "curated"}, "wiki": {"tokens": 640}}
    two = select(made, shares, name="two", rules=RULES)
    for source, size in (("web", 600), ("wiki", 300)):
        held = selected(one, source, "validation")
        assert held == selected(two, source, "validation")
        assert 0.05 * size < len(held) < 0.15 * size
        assert not set(held) & (set(selected(one, source)) | set(selected(two, source)))
    assert selected(one, "wiki") == {}


def test_a_document_stays_held_out_when_others_come_or_go(select, tables, selected):
    rows = pool(1, 600)
    held = [
        selected(select(tables({"web": part}, name), {"web": {"tokens": 640}}, name=name), "web", "validation")
        for name, part in (("all", rows), ("half", rows[::2]))
    ]
    assert set(held[1]) == set(held[0]) & {row["doc_id"] for row in rows[::2]}


def test_random_takes_the_average_and_a_smaller_budget_is_part_of_a_larger_one(select, tables, plan, selected):
    made = tables({"web": pool(1, 800)})
    small, large = (select(made, {"web": {"tokens": tokens}}, name=str(tokens)) for tokens in (2560, 7680))
    assert set(selected(small, "web")) < set(selected(large, "web"))
    for score in ("complexity", "relevance"):
        means = plan(large)["sources"]["web"][score]
        assert abs(means["selected"] - means["pool"]) < 0.2


def test_bad_scores_stop_nothing_are_counted_and_never_taken_by_a_rule_that_needs_them(select, tables, plan, selected):
    rows = pool(1, 400, contaminated_by=None)
    bad = [{"complexity": None}, {"topics": None}, {"complexity": float("nan")}, {"topics": [0.9, float("nan"), 0.1]}]
    bad += [{"complexity": float("inf")}, {"topics": [0.9]}]
    for number, row in enumerate(rows[:90]):
        row |= bad[number % len(bad)]
    ids = {row["doc_id"] for row in rows[:90]}
    clean = ids - {row["doc_id"] for row, held in zip(rows, held_out(rows), strict=True) if held}
    made = select(tables({"web": rows}), {"web": {"tokens": 1280, "select": "curated"}}, rules=RULES)
    assert not ids & set(selected(made, "web"))
    entry = plan(made)["sources"]["web"]
    assert entry["documents"]["unscored"] == len(clean)
    known = [row["complexity"] for row, held in zip(rows[90:], held_out(rows)[90:], strict=True) if not held]
    assert entry["complexity"]["pool"] == pytest.approx(np.mean(known), abs=1e-3)
    taken = select(tables({"web": rows}), {"web": {"tokens": 9000}}, name="random")
    assert ids & set(selected(taken, "web"))
    assert plan(taken)["sources"]["web"]["documents"]["unscored"] == 0


def test_lengths_outside_the_rule_are_left_out(select, tables, selected):
    rows = pool(1, 400)
    rule = {**RULE, "min_tokens": 20, "max_tokens": 40}
    made = select(tables({"web": rows}), {"web": {"tokens": 1280, "select": "curated"}}, rules={"curated": rule})
    lengths = {row["doc_id"]: row["n_tokens"] for row in rows}
    found = [lengths[doc_id] for doc_id in selected(made, "web")]
    assert (min(found), max(found)) == (20, 40)


def test_a_shortage_names_every_source_and_the_numbers_to_set(select, tables):
    rows = pool(1, 30, n_tokens=9, contaminated_by=None)
    unscored = [{**row, "topics": None} for row in pool(5, 40, contaminated_by=None)]
    made = tables({"web": rows, "wiki": pool(2, 400), "code": rows[:3], "talk": unscored})
    shares = {name: {"tokens": tokens} for name, tokens in (("web", 6400), ("wiki", 640), ("code", 64), ("talk", 64))}
    shares["talk"]["select"] = shares["code"]["select"] = "curated"
    with pytest.raises(TrellisError) as error:
        select(made, shares, name="greedy", rules=RULES)
    sentence = str(error.value)
    there = 10 * int((~held_out(rows)).sum())
    assert f"web asks for 6,400 tokens and {there} are available" in sentence
    assert "code asks for 64 tokens" in sentence
    assert f"({(~held_out(unscored)).sum()} have no scores)" in sentence
    assert f"set at most web: {{tokens: {(there - 1) // 64 * 64}}} and leave out code and leave out talk" in sentence
    assert "wiki" not in sentence
    assert "mixtures.greedy.tokens" in sentence


def test_a_source_within_the_tolerance_gives_what_it_has_with_a_warning(select, tables, plan, caplog):
    rows = pool(1, 100, n_tokens=63, contaminated_by=None)
    made = tables({"web": rows, "wiki": pool(2, 400)})
    there = 64 * int((~held_out(rows)).sum())
    shares = {"web": {"tokens": there + 128}, "wiki": {"tokens": 640}}
    missing = 128 / (there + 128)
    tolerant = select(made, shares, name="tolerant", tolerance=missing + 0.001)
    entry = plan(tolerant)["sources"]["web"]
    assert (entry["asked_tokens"], entry["selected_tokens"]) == (there + 128, there)
    # The last token of the last row is a target only.
    assert entry["granted_tokens"] == there - 64
    assert plan(tolerant)["sources"]["wiki"]["granted_tokens"] == 640
    assert f"web: {there} of {there + 128} tokens" in caplog.text
    with pytest.raises(TrellisError, match="web asks for"):
        select(made, shares, name="strict", tolerance=missing - 0.001)


def test_a_topic_that_nobody_scores_is_named_with_the_source(select, tables):
    with pytest.raises(TrellisError, match=f"source web: .*no classifier scores 'medicine_health' .scored: {MATHS}"):
        select(tables({"web": pool(1, 50)}), {"web": {"tokens": 64}}, relevance_topics=["medicine_health"])
    groups = [{"name": "health", "topics": ["medicine_health"], "share": 0.5}, {"name": "rest"}]
    with pytest.raises(TrellisError, match="groups.health.topics: no classifier scores 'medicine_health'"):
        select(
            tables({"web": pool(1, 50)}),
            {"web": {"tokens": 64, "select": "curated"}},
            rules={"curated": {**RULE, "groups": groups}},
        )


def test_a_source_without_a_classifier_is_taken_at_random_only(select, tables, selected):
    made = tables({"web": pool(1, 200)})
    made.scores = []
    assert selected(select(made, {"web": {"tokens": 640}}), "web")
    with pytest.raises(TrellisError, match=r"source web: .*no classifier scores .* .scored: none."):
        select(made, {"web": {"tokens": 640, "select": "curated"}}, rules=RULES)


def test_tables_of_different_documents_are_refused(select, tables):
    made = tables({"web": pool(1, 50)})
    made.scores = tables({"web": pool(2, 50)}, "two").scores
    with pytest.raises(TrellisError, match="list different documents"):
        select(made, {"web": {"tokens": 64}})
    made.scores = tables({"web": pool(1, 50)[:-1]}, "three").scores
    with pytest.raises(TrellisError, match="list different documents"):
        select(made, {"web": {"tokens": 64}})


def test_hashes_are_uniform_and_independent_between_purposes():
    ids = np.arange(20_000, dtype=np.uint64)
    one, two = (mixed(ids, 1, purpose) / 2.0**64 for purpose in ("validation", "selection"))
    assert len(np.unique(mixed(ids, 1, "validation"))) == len(ids)
    assert one.min() >= 0 and one.max() < 1
    assert np.abs(np.histogram(one, 10, (0, 1))[0] - 2000).max() < 200
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.03
    assert abs(np.corrcoef(one, mixed(ids, 2, "validation"))[0, 1]) < 0.03
