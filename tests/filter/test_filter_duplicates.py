"""filter_duplicates: near-duplicates are found across sources, and the right one stays."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from publishing import publish
from trellis.command import execute
from trellis.documents import write_table
from trellis.errors import TrellisError
from trellis.filter.feature_table import write_features
from trellis.filter.signatures import pack


@pytest.fixture
def sharded(tmp_path):
    """sharded({source: [shard of rows]}) -> (feature folders, score folders): a row has doc_id and, where it likes,
    signature, complexity and contaminated_by; every shard is a result."""
    schema = pa.schema([("doc_id", pa.uint64()), ("complexity", pa.float32())])

    def make(sources, place="one", unscored=()):
        made = [], []
        for source, shards in sources.items():
            for number, rows in enumerate(shards):
                root = tmp_path / place / f"{source}-{number}"
                empty = np.zeros(14, np.uint64)
                keys = [row["signature"] if row.get("signature") is not None else empty for row in rows]
                part = {
                    "doc_id": np.array([row["doc_id"] for row in rows], np.uint64),
                    "n_tokens": np.full(len(rows), 10, np.uint32),
                    "n_tokens_reference": np.zeros(len(rows), np.uint32),
                    "signature": np.array(keys, np.uint64).reshape(len(rows), 14),
                    "signed": np.array([row.get("signature") is not None for row in rows], bool),
                    "contaminated_by": [row.get("contaminated_by") for row in rows],
                    "slice": [None] * len(rows),
                }
                write_features(root / f"features/features/{source}.parquet", 14, [part])
                made[0].append(publish(root / "features", "filter", "features", "features"))
                if source not in unscored:
                    scores = [{key: row.get(key) for key in schema.names} for row in rows]
                    write_table(root / f"scores/scores/{source}.parquet", schema, scores)
                    made[1].append(publish(root / "scores", "classify", "score", "scores"))
        return made

    return make


@pytest.fixture
def duplicates(make_spec, tmp_path):
    def run(tables, priority=(), name="duplicates", **rules):
        config = {"duplicates": {"similarity": 0.7, **rules}, "source_priority": list(priority)}
        inputs = {"features": tables[0], "scores": tables[1]}
        return execute(make_spec("filter", "duplicates", "duplicates", config, inputs), tmp_path / name)

    return run


def signature(number: int, changed: int = 0, at: int = 0) -> np.ndarray:
    """One of many unrelated signatures, with `changed` of its 112 components replaced from `at` on."""
    found = np.random.default_rng(number).integers(0, 2**32, 112, dtype=np.uint32)
    found[at : at + changed] = np.random.default_rng(10**6 + number + at).integers(0, 2**32, changed, dtype=np.uint32)
    return pack(found[None], 8)[0]


def rows_of(made) -> dict[int, dict]:
    return {row["doc_id"]: row for row in pq.read_table(made.path("duplicates.parquet")).to_pylist()}


def kept(made) -> dict[int, bool]:
    return {key: row["kept"] for key, row in rows_of(made).items()}


WEB = [
    {"doc_id": 1, "signature": signature(1), "complexity": 2.0},
    {"doc_id": 2, "signature": signature(1, changed=5), "complexity": 3.0},
    {"doc_id": 5, "signature": signature(2), "complexity": 1.0},
    {"doc_id": 9, "signature": signature(3), "complexity": None},
]
WIKI = [
    {"doc_id": 4, "signature": signature(2, changed=4), "complexity": 1.0},
    {"doc_id": 7, "signature": signature(1, changed=2), "complexity": 1.0},
    {"doc_id": 8, "signature": signature(3), "complexity": 1.0},
    {"doc_id": 11, "signature": signature(4), "complexity": 1.0},
]


def test_the_survivor_is_by_source_then_complexity_then_id(duplicates, sharded):
    given = sharded({"web": [WEB], "wiki": [WIKI]})
    assert kept(duplicates(given)) == {1: False, 2: True, 7: False, 4: True, 5: False, 8: True, 9: False}
    made = duplicates(given, ["wiki"], "again")
    assert kept(made) == {1: False, 2: False, 7: True, 4: True, 5: False, 8: True, 9: False}
    assert made.metrics == {
        "sources": {
            "web": {"documents": 4, "duplicates": 4, "near_contaminated": 0},
            "wiki": {"documents": 4, "duplicates": 0, "near_contaminated": 0},
        },
        "pairs": [{"removed": "web", "kept": "wiki", "documents": 4}],
        "clusters": {"2": 2, "3": 1},
    }
    assert {key: row["cluster"] for key, row in rows_of(made).items()} == {1: 7, 2: 7, 7: 7, 4: 4, 5: 4, 8: 8, 9: 8}
    assert {row["source"] for key, row in rows_of(made).items() if key in (4, 7, 8)} == {"wiki"}


def test_a_source_without_scores_comes_after_those_with(duplicates, sharded):
    assert kept(duplicates(sharded({"web": [WEB], "wiki": [WIKI]}, unscored=["web"])))[7]


def test_documents_without_words_or_scores_stop_nothing(duplicates, sharded):
    rows = [{"doc_id": number, "signature": None} for number in range(1, 6)]
    made = duplicates(sharded({"web": [rows], "empty": [[]]}))
    assert kept(made) == {}
    assert pq.read_schema(made.path("duplicates.parquet")).names == [
        "doc_id",
        "source",
        "cluster",
        "kept",
        "contaminated_by",
    ]
    assert made.metrics["sources"]["web"] == {"documents": 5, "duplicates": 0, "near_contaminated": 0}


def planted():
    rng, rows = random.Random(5), []
    for number in range(150):
        for copy in range(2 if number % 3 == 0 else 1):
            # Every third has a copy of estimated similarity 0.9; some share their score.
            near = signature(number, changed=11 * copy)
            rows.append({"doc_id": rng.getrandbits(64), "signature": near, "complexity": rng.randint(1, 4)})
    return rows


def test_shards_in_any_number_and_order_give_the_same_bytes(duplicates, sharded):
    rows = planted()
    made = duplicates(sharded({"a": [rows[:100]], "b": [rows[100:]]}))
    assert sum(source["duplicates"] for source in made.metrics["sources"].values()) == 50
    assert made.metrics["clusters"] == {"2": 50}
    other = {"b": [rows[160:][::-1], [], rows[100:160]], "a": [rows[70:100], rows[:70][::-1]]}
    again = duplicates(sharded(other, "turned"), name="again")
    assert [file.sha256 for file in again.files] == [file.sha256 for file in made.files]


def test_unverified_candidates_are_the_original_way(duplicates, sharded):
    # One band of fourteen is equal: by chance at this similarity.
    rows = [{"doc_id": 1, "signature": signature(1)}, {"doc_id": 2, "signature": signature(1, 104)}]
    given = sharded({"web": [rows]})
    assert kept(duplicates(given)) == {}
    assert kept(duplicates(given, name="unverified", verify=False)) == {1: True, 2: False}


def test_sources_of_different_signatures_are_not_compared(duplicates, sharded):
    same = [{"doc_id": number, "signature": signature(1)} for number in range(4)]
    given = sharded({"code": [same[:2]], "web": [same[2:]]})
    assert kept(duplicates(given)) == {0: True, 1: False, 2: False, 3: False}
    apart = duplicates(given, name="apart", per_source={"code": {"shingle": "lines"}})
    assert kept(apart) == {0: True, 1: False, 2: True, 3: False}
    assert [pair["removed"] for pair in apart.metrics["pairs"]] == ["code", "web"]


def test_the_survivor_is_clean_and_near_duplicates_of_contaminated_ones_leave(duplicates, sharded):
    rows = [
        # A chain: 2 is near 1 and 3, and 1 is not near 3.
        {"doc_id": 1, "signature": signature(1), "contaminated_by": "q1", "complexity": 4.0},
        {"doc_id": 2, "signature": signature(1, 20), "complexity": 2.0},
        {"doc_id": 3, "signature": signature(1, 40), "complexity": 1.0},
        {"doc_id": 4, "signature": signature(1, 41), "complexity": 3.0},
        {"doc_id": 5, "signature": signature(2), "contaminated_by": "q2"},
        {"doc_id": 6, "signature": signature(2)},
    ]
    given = sharded({"web": [rows[:4]], "wiki": [rows[4:]]})
    made = duplicates(given)
    assert kept(made) == {1: False, 2: False, 3: False, 4: True, 5: False, 6: False}
    why = {key: row["contaminated_by"] for key, row in rows_of(made).items()}
    assert why == {1: "q1", 2: "q1", 3: None, 4: None, 5: "q2", 6: "q2"}
    assert {key: row["cluster"] for key, row in rows_of(made).items()} == {1: 4, 2: 4, 3: 4, 4: 4, 5: 5, 6: 5}
    assert made.metrics["sources"] == {
        "web": {"documents": 4, "duplicates": 1, "near_contaminated": 1},
        "wiki": {"documents": 2, "duplicates": 0, "near_contaminated": 1},
    }
    assert made.metrics["pairs"] == [{"removed": "web", "kept": "web", "documents": 1}]
    keeping = duplicates(given, name="keep", near_contaminated="keep")
    assert kept(keeping) == {1: False, 2: False, 3: False, 4: True, 5: False, 6: True}
    assert rows_of(keeping)[2]["contaminated_by"] is None


def test_an_unknown_source_in_the_priority_is_named(duplicates, sharded):
    with pytest.raises(TrellisError, match="filter.source_priority: no source 'wki' .allowed: wiki"):
        duplicates(sharded({"wiki": [[]]}), ["wki"])


def test_tables_of_different_documents_are_named(duplicates, sharded):
    features, _ = sharded({"web": [WEB]})
    _, scores = sharded({"web": [WEB[::-1]]}, "turned")
    with pytest.raises(TrellisError, match="list different documents"):
        duplicates((features, scores))
