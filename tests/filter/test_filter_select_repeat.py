"""filter_select with `repeat`: what is selected is what, read so often, fills the budget; and sentences that say so."""

import re

import pytest

from pools import pool
from trellis.errors import TrellisError

RULE = {"kind": "topics_and_complexity", "groups": [{"name": "all"}], "bins": [{"at_least": 0.0, "share": 1.0}]}
QUOTAS = {
    "kind": "topics_only",
    "redistribute": False,
    "threshold": 0.5,
    "groups": [{"name": "maths", "topics": ["mathematics_statistics"], "share": 0.9}, {"name": "rest"}],
}


@pytest.fixture
def documents():
    return pool(1, 600, contaminated_by=None)


def tokens_of(documents, chosen) -> int:
    return sum(row["n_tokens"] + 1 for row in documents if row["doc_id"] in chosen)


@pytest.mark.parametrize(("repeat", "unique"), [(0.25, 12804), (0.8, 4002), (1.0, 3201), (2.5, 1281), (10.0, 321)])
def test_as_many_tokens_are_selected_as_read_so_often_fill_the_rows(
    select, tables, plan, selected, documents, repeat, unique
):
    made = select(tables({"web": documents}), {"web": {"tokens": 3200, "repeat": repeat}})
    found = tokens_of(documents, selected(made, "web"))
    assert unique <= found < unique + 61
    entry = plan(made)["sources"]["web"]
    assert (entry["asked_tokens"], entry["granted_tokens"], entry["repeat"]) == (3200, 3200, repeat)
    assert (entry["needed_tokens"], entry["selected_tokens"]) == (unique, found)


def test_a_larger_repeat_takes_fewer_of_the_same_documents_and_the_best_of_them(select, tables, selected, documents):
    once, often = (
        selected(
            select(tables({"web": documents}, name), share, name=name, rules={"curated": RULE}),
            "web",
        )
        for name, share in (
            (name, {"web": {"tokens": 6400, "select": "curated", "repeat": repeat}})
            for name, repeat in (("once", 1.0), ("often", 4.0))
        )
    )
    assert set(often) < set(once)
    relevance = {row["doc_id"]: row["topics"][0] + 0.1 * row["complexity"] for row in documents}
    assert (
        min(relevance[doc_id] for doc_id in often)
        >= max(relevance[doc_id] for doc_id in set(once) - set(often)) - 0.002
    )


def test_held_out_documents_are_the_same_whatever_is_repeated(select, tables, selected, documents):
    made = tables({"web": documents})
    one, other = (select(made, {"web": {"tokens": 640, "repeat": r}}, name=str(r)) for r in (1.0, 7.5))
    assert selected(one, "web", "validation") == selected(other, "web", "validation") != {}


def test_the_numbers_in_the_sentence_of_a_shortage_do_help(select, tables, plan, documents):
    made = tables({"web": documents})
    available = plan(select(made, {"web": {"tokens": 64}}, name="small"))["sources"]["web"]["available_tokens"]

    def refused(name, **share) -> str:
        with pytest.raises(TrellisError) as error:
            select(made, {"web": share}, name=name)
        return str(error.value)

    sentence = refused("once", tokens=64_000)
    assert f"web asks for 64,000 tokens and {available:,} are available" in sentence
    repeat = float(re.search(r"read them more often \(web: {repeat: ([0-9.]+)}\)", sentence)[1])
    assert repeat == -(-100 * 64_001 // available) / 100
    enough = select(made, {"web": {"tokens": 64_000, "repeat": repeat}}, name="often")
    assert plan(enough)["sources"]["web"]["granted_tokens"] == 64_000
    less = round(repeat - 0.01, 2)
    sentence = refused("less often", tokens=64_000, repeat=less)
    assert re.search(rf"web asks for 64,000 tokens \([0-9,]+, read {less:g} times\) and {available:,} are", sentence)
    assert f"web: {{repeat: {repeat:g}}}" in sentence
    tokens = int(re.search(r"set at most web: {tokens: (\d+)}", sentence)[1])
    fitting = select(made, {"web": {"tokens": tokens, "repeat": less}}, name="fitting")
    assert plan(fitting)["sources"]["web"]["granted_tokens"] == tokens
    refused("a row more", tokens=tokens + 64, repeat=less)


def test_no_repeat_is_proposed_where_it_would_have_to_be_too_large_or_quotas_are_in_the_way(select, tables, documents):
    made = tables({"web": documents})
    with pytest.raises(TrellisError) as error:
        select(made, {"web": {"tokens": 6_400_000}})
    assert "read them more often" not in str(error.value)
    with pytest.raises(TrellisError, match="its quotas let") as error:
        select(made, {"web": {"tokens": 16_000, "select": "quotas"}}, name="quotas", rules={"quotas": QUOTAS})
    assert "read them more often" not in str(error.value)


def test_the_tolerance_counts_tokens_as_they_are_read(select, tables, plan, documents, caplog):
    made = tables({"web": documents})
    available = plan(select(made, {"web": {"tokens": 64}}, name="small"))["sources"]["web"]["available_tokens"]
    asked = 3 * available + 1000
    missing = 1000 / asked
    entry = plan(select(made, {"web": {"tokens": asked, "repeat": 3.0}}, name="tolerant", tolerance=missing + 0.001))
    entry = entry["sources"]["web"]
    assert (entry["selected_tokens"], entry["granted_tokens"]) == (available, (3 * available - 1) // 64 * 64)
    assert f"web: {3 * available} of {asked} tokens, {100 * missing:.2f} % short" in caplog.text
    with pytest.raises(TrellisError, match=f"web asks for {asked:,} tokens"):
        select(made, {"web": {"tokens": asked, "repeat": 3.0}}, name="strict", tolerance=missing - 0.001)
