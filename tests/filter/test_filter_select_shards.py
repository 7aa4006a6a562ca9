"""However a source is cut into shards, in whatever order and steps they are read: the same documents, ranks and plan."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pools import LABELS, Tables, pool
from publishing import publish
from trellis.filter import columns
from trellis.filter import pool as reading

RULE = {
    "kind": "topics_and_complexity",
    "groups": [{"name": "maths", "topics": LABELS[:1], "share": 0.3, "cap": 0.4}, {"name": "general"}],
    "bins": [{"at_least": 2.5, "share": 0.7}, {"at_least": 0.0, "share": 0.3}],
    "label_bonus": 0.05,
}
RULES = {
    "curated": RULE,
    "floors": {**RULE, "groups": [{**RULE["groups"][0], "cap": None}, {"name": "general"}], "caps": False},
    "slices": {
        "kind": "code_slices",
        "slices": [{"name": "json", "values": ["json"], "share": 0.4, "order": "random"}, {"name": "rest"}],
    },
}
SHARES = {
    "web": {"tokens": 1_100, "select": "curated"},
    "old": {"tokens": 900, "select": "floors"},
    "code": {"tokens": 700, "select": "slices"},
    "wiki": {"tokens": 400},
}


def sources() -> dict[str, list[dict]]:
    """Documents with many equal scores, so that hashes decide."""
    rng = random.Random(9)
    made = {name: pool(place, 150) for place, name in enumerate(SHARES)}
    for row in (row for rows in made.values() for row in rows):
        row["topics"] = [rng.choice([0.2, 0.5, 0.9, None]) for _ in LABELS]
        row["topics"] = None if None in row["topics"] and rng.random() < 0.2 else [x or 0.1 for x in row["topics"]]
        row["complexity"] = rng.choice([1.0, 2.5, 3.0, 4.0])
        row |= {"code_quality": rng.choice([1.0, 3.0, 4.0]), "structured_data": rng.choice([0.0, 1.0, 3.0])}
        row["slice"] = rng.choice(["json", "c", None])
    return made


@pytest.fixture
def outcome(select, selected, plan):
    def read(tables: Tables, name: str):
        made = select(tables, SHARES, name=name, rules=RULES)
        chosen = {(s, split): selected(made, s, split) for s in SHARES for split in ("train", "validation")}
        return chosen, plan(made)

    return read


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_shards_in_any_order_and_number_and_any_step_give_the_same(outcome, tables, monkeypatch, data):
    made = sources()
    if not hasattr(outcome, "whole"):
        outcome.whole = outcome(tables(made, "whole"), "whole")
    shards = data.draw(st.integers(1, 6))
    step = data.draw(st.integers(11, 200))
    monkeypatch.setattr(reading, "stream", lambda paths, names: columns.stream(paths, names, step))
    mixed = {
        name: data.draw(st.permutations(rows)) if data.draw(st.booleans()) else rows for name, rows in made.items()
    }
    cut = tables(mixed, f"cut-{shards}", shards=shards)
    order = data.draw(st.permutations(range(len(cut.features))))
    cut.features, cut.scores = ([results[place] for place in order] for results in (cut.features, cut.scores))
    assert outcome(cut, "cut") == outcome.whole


def test_the_same_bytes_twice(select, tables):
    one = select(tables(sources(), "one"), SHARES, name="one", rules=RULES)
    two = select(tables(dict(reversed(sources().items())), "two"), SHARES, name="two", rules=RULES)
    assert [file.sha256 for file in one.files] == [file.sha256 for file in two.files]


def test_tables_in_steps_are_the_tables(tmp_path):
    table = pa.table({"a": range(100), "b": [None] * 100})
    for place, (start, stop) in enumerate([(0, 0), (0, 37), (37, 38), (38, 100)]):
        pq.write_table(table.slice(start, stop - start), tmp_path / f"{place}.parquet", row_group_size=10)
    paths = sorted(tmp_path.glob("*.parquet"))
    for rows in (1, 7, 37, 100, 1000):
        found = list(columns.stream(paths, ["a", "c"], rows))
        assert [len(each) for each in found[:-1]] == [rows] * (len(found) - 1)
        assert pa.concat_tables(found).to_pydict() == {"a": list(range(100))}


def test_a_large_pool_is_exact_to_a_thousandth(make_spec, select, tmp_path, plan):
    count, rng = 200_000, np.random.default_rng(2)
    doc_id = rng.integers(0, 2**63, count).astype(np.uint64)
    tokens = np.minimum(rng.lognormal(6.3, 0.8, count), 20_000).astype(np.uint32) + 1
    topics = rng.beta(0.3, 1.2, (count, len(LABELS))).astype(np.float32)
    made = Tables(tmp_path / "none", {})
    for kind, table in (
        ("features", {"n_tokens": tokens, "contaminated_by": pa.nulls(count, pa.string())}),
        (
            "scores",
            {
                "topics": pa.FixedSizeListArray.from_arrays(pa.array(topics.reshape(-1)), len(LABELS)).cast(
                    pa.list_(pa.float32())
                ),
                "complexity": rng.uniform(1, 4.5, count).astype(np.float32),
            },
        ),
    ):
        folder = tmp_path / "large" / kind
        (folder / kind).mkdir(parents=True)
        pq.write_table(pa.table({"doc_id": doc_id, **table}), folder / kind / "web.parquet")
        metrics = {"labels": {"topics": LABELS}, "thresholds": {"topics": [0.5, 0.6, 0.4]}}
        getattr(made, kind).append(publish(folder, "filter", kind, metrics=metrics))
    asked = int(tokens.sum() * 0.3)
    entry = plan(select(made, {"web": {"tokens": asked, "select": "curated"}}, rules=RULES, context=2048))["sources"][
        "web"
    ]
    assert asked <= entry["selected_tokens"] < 1.001 * asked
    assert entry["selected_tokens"] - asked < tokens.max() + 2048
    for row, wanted in zip([*entry["groups"], *entry["bins"]], (0.3, 0.7, 0.7, 0.3), strict=True):
        assert abs(row["selected_tokens"] - wanted * entry["selected_tokens"]) < 0.001 * asked
