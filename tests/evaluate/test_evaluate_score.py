"""Scores: a copier of the gold gets everything, `{}` and silence what they must, and every item is counted."""

import json

import pytest

from publishing import publish
from trellis.command import execute
from trellis.documents import read_rows
from trellis.errors import TrellisError
from trellis.evaluate.score import METRICS, score

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "day": {"type": "string", "format": "date"}},
    "required": ["a", "day"],
    "additionalProperties": False,
}
GOLD = {"a": 3, "day": "2024-02-29"}


def item(index, gold=GOLD, split="seen"):
    return {
        "id": f"schema-{split}-{index}",
        "suite": "schema",
        "split": split,
        "schema_id": "s",
        "cluster": f"c{index}",
        "schema": SCHEMA,
        "messages": [],
        "gold": gold,
    }


def scored(output, gold=GOLD, stop="eos"):
    row = score(item(0, gold), {"output": output, "stop": stop})
    return tuple(row[name] for name in METRICS)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (json.dumps(GOLD), (1, 1, 1, 1, 1, 0)),
        ('{"day": "2024-02-29", "a": 3.0}\n', (1, 1, 1, 1, 1, 0)),
        ('{"a":4,"day":"2024-02-29"}', (1, 1, 0, 0.5, 1, 0)),
        ('{"a":3,"day":"2023-02-29"}', (1, 0, 0, 0.5, 1, 0)),
        ('{"a":"3","day":"2024-02-29"}', (1, 0, 0, 0.5, 1, 0)),
        ('{"a":3}', (1, 0, 0, pytest.approx(2 / 3), pytest.approx(2 / 3), 0)),
        ('{"a":3,"day":"2024-02-29","x":1}', (1, 0, 0, 0.8, 0.8, 0)),
        ("{}", (1, 0, 0, 0, 0, 0)),
        ("3", (1, 0, 0, 0, 0, 0)),
        ("", (0, 0, 0, 0, 0, 0)),
        (json.dumps(GOLD) + " and more", (0, 0, 0, 0, 0, 0)),
    ],
)
def test_each_answer_gets_what_it_deserves(output, expected):
    assert scored(output) == expected


def test_without_gold_only_the_form_is_judged():
    assert scored('{"a":9,"day":"2020-01-01"}', gold=None) == (1, 1, None, None, 1, 0)
    assert scored("{}", gold=None) == (1, 0, None, None, 0, 0)
    assert scored("nonsense", gold=None) == (0, 0, None, None, 0, 0)


def test_a_truncated_answer_is_marked_whatever_it_holds():
    assert scored('{"a":3,', stop="length") == (0, 0, 0, 0, 0, 1)


@pytest.fixture
def run_score(make_spec, tmp_path):
    def run(items, outputs):
        folders = {"items": tmp_path / "items", "generations": tmp_path / "generations"}
        (folders["items"] / "items").mkdir(parents=True)
        folders["generations"].mkdir()
        lines = "".join(json.dumps(row) + "\n" for row in items)
        (folders["items"] / "items" / "schema.jsonl").write_text(lines)
        made = [{"id": key, "output": text, "n_in": 1, "n_out": 1, "stop": "eos"} for key, text in outputs.items()]
        (folders["generations"] / "generations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
        for name, folder in folders.items():
            publish(folder, "evaluate", "x", name)
        config = {"model": "m", "seed": 0}
        inputs = {role: [folder] for role, folder in folders.items()}
        return execute(make_spec("evaluate", "score", "score", config, inputs), tmp_path / "out")

    return run


def test_every_item_is_in_the_denominator_hostile_ones_too(run_score):
    hostile = ["[" * 100_000, "\ud800", "x" * 1_000_000, '{"a":NaN}', "1" * 100_000]
    items = [item(i) for i in range(len(hostile) + 5)]
    outputs = {row["id"]: text for row, text in zip(items, [*hostile, *[json.dumps(GOLD)] * 5], strict=True)}
    manifest = run_score(items, outputs)
    seen = manifest.metrics["suites"]["schema"]["seen"]
    assert seen["items"] == 10
    assert seen["parse"] == seen["schema_valid"] == seen["exact"] == 0.5
    rows = list(read_rows([manifest.path("scores.parquet")]))
    assert [row["id"] for row in rows] == [row["id"] for row in items]
    assert [row["exact"] for row in rows] == [0] * 5 + [1] * 5


def test_means_are_by_split_and_null_where_nothing_has_the_metric(run_score):
    items = [item(0), item(0, gold=None, split="unseen")]
    manifest = run_score(items, {row["id"]: json.dumps(GOLD) for row in items})
    suites = manifest.metrics["suites"]["schema"]
    assert suites["seen"]["exact"] == 1 and suites["unseen"]["exact"] is None
    assert suites["unseen"]["schema_valid"] == 1


def test_generations_of_other_items_are_refused(run_score):
    with pytest.raises(TrellisError, match="not those of these items"):
        run_score([item(0), item(1)], {"schema-seen-0": "{}"})
