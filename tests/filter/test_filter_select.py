"""filter_select: exact quotas from clean documents, the same held-out ones for all, shortages named."""

import random

import numpy as np
import pyarrow.parquet as pq
import pytest

from publishing import publish
from trellis.command import execute
from trellis.documents import write_table
from trellis.errors import TrellisError
from trellis.filter.duplicates import SCHEMA
from trellis.filter.pool import hashed
from trellis.filter.rules import quantiles

CURATION = {"relevance_topics": ["mathematics_statistics"]}


def pool(seed: int, count: int, **columns) -> list[dict]:
    rng = random.Random(seed)
    rows = [
        {
            "doc_id": rng.getrandbits(64),
            "n_tokens": rng.randint(5, 60),
            "topics": [rng.random(), rng.random()],
            "complexity": rng.uniform(1, 5),
            "contaminated_by": "q1" if number % 20 == 0 else None,
        }
        | columns
        for number in range(count)
    ]
    return sorted(rows, key=lambda row: row["doc_id"])


@pytest.fixture
def removed(tmp_path):
    """removed({source: doc_ids}) -> the folder of duplicates, each the copy of document 1."""

    def make(sources: dict[str, list[int]]):
        rows = [
            {"doc_id": doc_id, "source": source, "cluster": 1, "kept": False}
            for source, ids in sources.items()
            for doc_id in ids
        ]
        folder = tmp_path / "duplicates"
        write_table(folder / "duplicates.parquet", SCHEMA, rows)
        return publish(folder, "filter", "duplicates")

    return make


@pytest.fixture
def select(make_spec, tmp_path, removed):
    def run(tables, shares, gone=None, name="mix", curation=None, tolerance=0.0, **config):
        tokens = sum(share["tokens"] for share in shares.values())
        mixture = {"tokens": tokens, "sources": shares, "tolerance": tolerance}
        curation = {**CURATION, **(curation or {})}
        config = {"mixture": mixture, "curation": curation, "validation_share": 0.1, "seed": 3, "context": 64, **config}
        inputs = {"features": [tables[0]], "scores": [tables[1]], "duplicates": [removed(gone or {})]}
        return execute(make_spec("filter", "select", f"select-{name}", config, inputs), tmp_path / name)

    return run


def selected(made, source, split="train") -> dict[int, int]:
    rows = pq.read_table(made.path(f"selected/{source}.parquet")).to_pylist()
    return {row["doc_id"]: row["rank"] for row in rows if row["split"] == split}


def test_quotas_are_met_from_clean_documents_and_by_no_more_than_one_document(select, side_tables, plan):
    rows = pool(1, 600)
    gone = [row["doc_id"] for row in rows[::7]]
    made = select(side_tables({"web": rows}), {"web": {"tokens": 6400}}, {"web": gone})
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
    for counts, total in ((account["documents"], 600), (account["tokens"], sum(r["n_tokens"] + 1 for r in rows))):
        left = sum(counts[fate] for fate in ("duplicates", "contaminated", "held_out", "below_floors", "available"))
        assert counts["raw"] == left == total
    assert account["documents"]["duplicates"] == len(gone)
    assert account["selection_ratio"] == round(sum(tokens) / account["tokens"]["available"], 4)


def test_held_out_documents_are_the_same_for_every_mixture_and_listed_for_every_source(select, side_tables):
    tables = side_tables({"web": pool(1, 600), "wiki": pool(2, 300)})
    one = select(tables, {"web": {"tokens": 2000}}, name="one")
    two = select(tables, {"web": {"tokens": 4000, "select": "curated"}, "wiki": {"tokens": 640}}, name="two")
    for source, size in (("web", 600), ("wiki", 300)):
        held = selected(one, source, "validation")
        assert held == selected(two, source, "validation")
        assert 0.05 * size < len(held) < 0.15 * size
        assert not set(held) & (set(selected(one, source)) | set(selected(two, source)))
    assert selected(one, "wiki") == {}


def test_a_document_stays_held_out_when_others_come_or_go(select, side_tables):
    rows = pool(1, 600)
    held = [
        selected(select(side_tables({"web": part}, name), {"web": {"tokens": 640}}, name=name), "web", "validation")
        for name, part in (("all", rows), ("half", rows[::2]))
    ]
    assert set(held[1]) == set(held[0]) & {row["doc_id"] for row in rows[::2]}


def test_curated_takes_the_best_and_random_takes_the_average(select, side_tables, plan):
    tables = side_tables({"web": pool(1, 800)})
    found = {
        rule: plan(select(tables, {"web": {"tokens": 5120, "select": rule}}, name=rule))["sources"]["web"]
        for rule in ("curated", "random")
    }
    for score in ("complexity", "relevance"):
        means = found["curated"][score]
        assert means["selected"] > means["pool"] + 0.15
        assert abs(found["random"][score]["selected"] - found["random"][score]["pool"]) < 0.2
    weighted = {"relevance_weight": 0.0, "complexity_weight": 1.0}
    made = select(tables, {"web": {"tokens": 5120, "select": "curated"}}, name="deep", curation=weighted)
    by_id = {row["doc_id"]: row["complexity"] for row in pool(1, 800)}
    threshold = min(by_id[doc_id] for doc_id in selected(made, "web"))
    rows = [r for r in pool(1, 800) if r["complexity"] > threshold and not r["contaminated_by"]]
    held = selected(made, "web", "validation")
    assert {row["doc_id"] for row in rows} - set(held) <= set(selected(made, "web"))


def test_quality_counts_where_the_source_has_it(select, side_tables):
    shares = {"web": {"tokens": 2560, "select": "curated"}}
    alone = {"relevance_weight": 0.0, "complexity_weight": 0.0, "quality_weight": 1.0}
    rows = pool(1, 300)
    for number, row in enumerate(rows):
        row["quality"] = float(number)
    made = select(side_tables({"web": rows}, "with"), shares, name="with", curation=alone)
    places = {row["doc_id"]: row["quality"] for row in rows}
    assert min(places[doc_id] for doc_id in selected(made, "web")) > 150
    without = select(side_tables({"web": pool(1, 300)}, "without"), shares, name="without", curation=alone)
    assert set(selected(without, "web")) != set(selected(made, "web"))


def test_unscored_documents_and_floors(select, side_tables, plan):
    rows = pool(1, 400, contaminated_by=None)
    for row in rows[:50]:
        row["complexity"] = None
    for row in rows[50:80]:
        row["topics"] = None
    shares = {"web": {"tokens": 1280, "select": "curated"}}
    tables = side_tables({"web": rows})
    made = select(tables, shares, name="scored")
    assert not set(selected(made, "web")) & {row["doc_id"] for row in rows[:80]}
    held = set(selected(made, "web", "validation"))
    unscored = [row for row in rows[:80] if row["doc_id"] not in held]
    assert plan(made)["sources"]["web"]["documents"]["below_floors"] == len(unscored)
    floors = {"complexity_floor": 3.0, "relevance_floor": 0.5}
    made = select(tables, shares, name="floors", curation=floors)
    by_id = {row["doc_id"]: row for row in rows}
    for doc_id in selected(made, "web"):
        assert by_id[doc_id]["complexity"] >= 3.0
        assert by_id[doc_id]["topics"][0] >= 0.5
    taken = select(tables, {"web": {"tokens": 9000}}, name="random")
    assert set(selected(taken, "web")) & {row["doc_id"] for row in rows[:80]}


def test_a_shortage_names_every_source_and_the_numbers_to_set(select, side_tables):
    rows = pool(1, 30, n_tokens=9, contaminated_by=None)
    tables = side_tables({"web": rows, "wiki": pool(2, 400), "code": rows[:3]})
    shares = {"web": {"tokens": 6400}, "wiki": {"tokens": 640}, "code": {"tokens": 64, "select": "curated"}}
    with pytest.raises(TrellisError) as error:
        select(tables, shares, name="greedy")
    sentence = str(error.value)
    held = (hashed(np.array([row["doc_id"] for row in rows], np.uint64), 3, "validation") < 0.1).sum()
    assert f"web asks for 6,400 tokens and {10 * (30 - held)} are available" in sentence
    assert "code asks for 64 tokens" in sentence
    assert f"web: {{tokens: {10 * (30 - held)}}}" in sentence
    assert "wiki" not in sentence
    assert "mixtures.greedy.tokens" in sentence


def test_a_source_within_the_tolerance_gives_what_it_has_with_a_warning(select, side_tables, plan, caplog):
    rows = pool(1, 100, n_tokens=63, contaminated_by=None)
    tables = side_tables({"web": rows, "wiki": pool(2, 400)})
    held = (hashed(np.array([row["doc_id"] for row in rows], np.uint64), 3, "validation") < 0.1).sum()
    there = 64 * int(100 - held)
    shares = {"web": {"tokens": there + 128}, "wiki": {"tokens": 640}}
    missing = 128 / (there + 128)
    made = select(tables, shares, name="tolerant", tolerance=missing + 0.001)
    entry = plan(made)["sources"]["web"]
    assert (entry["asked_tokens"], entry["selected_tokens"]) == (there + 128, there)
    # The last token of the last row is a target only.
    assert entry["granted_tokens"] == there - 64
    assert plan(made)["sources"]["wiki"]["granted_tokens"] == 640
    assert f"web: {there} of {there + 128} tokens" in caplog.text
    with pytest.raises(TrellisError, match="web asks for"):
        select(tables, shares, name="strict", tolerance=missing - 0.001)


def test_the_same_plan_twice_and_in_any_order_of_rows(select, side_tables):
    shares = {"web": {"tokens": 3200, "select": "curated"}, "wiki": {"tokens": 640}}
    one = select(side_tables({"web": pool(1, 500), "wiki": pool(2, 300)}), shares, name="one")
    two = select(side_tables({"wiki": pool(2, 300), "web": pool(1, 500)}, "again"), shares, name="two")
    assert [file.sha256 for file in one.files] == [file.sha256 for file in two.files]
    turned = select(
        side_tables({"web": pool(1, 500)[::-1], "wiki": pool(2, 300)[::-1]}, "turned"), shares, name="three"
    )
    for source in ("web", "wiki"):
        for split in ("train", "validation"):
            assert selected(turned, source, split) == selected(one, source, split)


def test_a_topic_that_nobody_scores_is_named(select, side_tables):
    with pytest.raises(
        TrellisError, match="no classifier scores 'medicine_health' .scored: mathematics_statistics, law"
    ):
        select(
            side_tables({"web": pool(1, 50)}),
            {"web": {"tokens": 64}},
            curation={"relevance_topics": ["medicine_health"]},
        )


def test_tables_of_different_documents_are_refused(select, side_tables):
    features, _ = side_tables({"web": pool(1, 50)}, "one")
    _, scores = side_tables({"web": pool(2, 50)}, "two")
    with pytest.raises(TrellisError, match="list different documents"):
        select((features, scores), {"web": {"tokens": 64}})


def test_hashes_are_uniform_and_independent_between_purposes():
    ids = np.arange(20_000, dtype=np.uint64)
    one, two = hashed(ids, 1, "validation"), hashed(ids, 1, "selection")
    assert one.min() >= 0 and one.max() < 1
    assert np.abs(np.histogram(one, 10, (0, 1))[0] - 2000).max() < 200
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.03
    assert abs(np.corrcoef(one, hashed(ids, 2, "validation"))[0, 1]) < 0.03


def test_quantiles_share_ties():
    assert quantiles(np.array([3.0, 1.0, 3.0, 9.0])).tolist() == [0.5, 0.125, 0.5, 0.875]
