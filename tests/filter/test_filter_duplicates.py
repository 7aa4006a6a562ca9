"""filter_duplicates: planted near-duplicates are found across sources, and the right one stays."""

import random

import numpy as np
import pyarrow.parquet as pq
import pytest

from trellis.command import execute
from trellis.errors import TrellisError

RULES = {"ngram": 5, "bands": 14, "rows": 8, "similarity": 0.7}


@pytest.fixture
def duplicates(make_spec, tmp_path):
    def run(tables, priority=(), name="duplicates"):
        config = {"duplicates": RULES, "source_priority": list(priority)}
        inputs = {"features": [tables[0]], "scores": [tables[1]]}
        return execute(make_spec("filter", "duplicates", "duplicates", config, inputs), tmp_path / name)

    return run


def signature(number: int, changed: int = 0) -> list[int]:
    """One of many unrelated signatures, with `changed` of its 112 components replaced."""
    found = np.random.default_rng(number).integers(0, 2**32, 112, dtype=np.uint32)
    found[:changed] = np.random.default_rng(10**6 + number).integers(0, 2**32, changed, dtype=np.uint32)
    return found.tolist()


def kept(made) -> dict[int, bool]:
    return {row["doc_id"]: row["kept"] for row in pq.read_table(made.path("duplicates.parquet")).to_pylist()}


def test_the_survivor_is_by_source_then_complexity_then_id(duplicates, side_tables):
    web = [
        {"doc_id": 1, "signature": signature(1), "complexity": 2.0},
        {"doc_id": 2, "signature": signature(1, changed=5), "complexity": 3.0},
        {"doc_id": 5, "signature": signature(2), "complexity": 1.0},
        {"doc_id": 9, "signature": signature(3), "complexity": None},
    ]
    wiki = [
        {"doc_id": 4, "signature": signature(2, changed=4), "complexity": 1.0},
        {"doc_id": 7, "signature": signature(1, changed=2), "complexity": 1.0},
        {"doc_id": 8, "signature": signature(3), "complexity": 1.0},
        {"doc_id": 11, "signature": signature(4), "complexity": 1.0},
    ]
    tables = side_tables({"web": web, "wiki": wiki})
    assert kept(duplicates(tables)) == {1: False, 2: True, 7: False, 4: True, 5: False, 8: True, 9: False}
    made = duplicates(tables, ["wiki"], "again")
    assert kept(made) == {1: False, 2: False, 7: True, 4: True, 5: False, 8: True, 9: False}
    assert made.metrics == {
        "sources": {"web": {"documents": 4, "duplicates": 4}, "wiki": {"documents": 4, "duplicates": 0}},
        "pairs": [{"removed": "web", "kept": "wiki", "documents": 4}],
        "clusters": {"2": 2, "3": 1},
    }
    clusters = {row["doc_id"]: row["cluster"] for row in pq.read_table(made.path("duplicates.parquet")).to_pylist()}
    assert clusters == {1: 7, 2: 7, 7: 7, 4: 4, 5: 4, 8: 8, 9: 8}


def test_documents_without_words_or_scores_stop_nothing(duplicates, side_tables):
    rows = [{"doc_id": number, "signature": None} for number in range(1, 6)]
    made = duplicates(side_tables({"web": rows, "empty": []}))
    assert kept(made) == {}
    assert made.metrics["sources"] == {
        "empty": {"documents": 0, "duplicates": 0},
        "web": {"documents": 5, "duplicates": 0},
    }


def test_planted_copies_are_found_and_the_order_of_rows_is_irrelevant(duplicates, side_tables):
    rng, rows = random.Random(5), []
    for number in range(150):
        rows.append({"doc_id": rng.getrandbits(64), "signature": signature(number), "complexity": rng.random()})
        if number % 3 == 0:
            near = signature(number, changed=11)  # estimated similarity 0.9
            rows.append({"doc_id": rng.getrandbits(64), "signature": near, "complexity": rng.random()})
    made = duplicates(side_tables({"a": rows[:100], "b": rows[100:]}))
    assert sum(source["duplicates"] for source in made.metrics["sources"].values()) == 50
    assert made.metrics["clusters"] == {"2": 50}
    again = duplicates(side_tables({"b": rows[100:][::-1], "a": rows[:100][::-1]}, "reversed"), name="again")
    assert [file.sha256 for file in again.files] == [file.sha256 for file in made.files]


def test_an_unknown_source_in_the_priority_is_named(duplicates, side_tables):
    with pytest.raises(TrellisError, match="filter.source_priority: no source 'wki' .allowed: wiki"):
        duplicates(side_tables({"wiki": []}), ["wki"])
