"""Distances of items to what fine-tuning shows: buckets, and the build stops for a leak."""

import json

import pyarrow.parquet as pq
import pytest

from publishing import publish
from trellis.chat import answer_json
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.experiment.evaluation import Distance
from trellis.records import write_records
from trellis.tool_calls import system_turn


def schema(**properties):
    return {
        "type": "object",
        "properties": {n: {"type": t} if isinstance(t, str) else t for n, t in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


PERSON = schema(name="string", age="integer", city="string")
BOOK = schema(title="string", pages="integer", isbn="string", lent="boolean")


def turn(value, text="some words"):
    return {"role": "user", "content": f"{answer_json(value)}\n{text}"}


def item(name, messages, split="unseen"):
    return {"id": name, "suite": "schema", "split": split, "messages": messages}


@pytest.fixture
def measured(tmp_path, make_spec):
    def run(items, examples, **bounds):
        (tmp_path / "items").mkdir(exist_ok=True)
        (tmp_path / "data").mkdir(exist_ok=True)
        write_records(tmp_path / "items/items.jsonl", items)
        write_records(tmp_path / "data/train.jsonl", examples)
        inputs = {"items": [publish(tmp_path / "items")], "data": [publish(tmp_path / "data")]}
        config = {"distance": Distance(**bounds)}
        made = execute(make_spec("evaluate", "distance", config=config, inputs=inputs), tmp_path / "out")
        return made, {row["id"]: row for row in pq.read_table(tmp_path / "out/nearest.parquet").to_pylist()}

    return run


EXAMPLES = [
    {"id": "p", "messages": [turn(PERSON), {"role": "assistant", "content": answer_json(BOOK)}]},
    {"id": "t", "messages": [system_turn([{"name": "find_book", "description": "", "parameters": BOOK}])]},
    {"id": "words", "messages": [{"role": "user", "content": "no schema here"}]},
]


def test_each_item_falls_into_its_bucket(measured):
    near = schema(name="string", age="integer", zip="boolean", street="boolean")
    clone = schema(label="string", count="integer", place="string")
    far = schema(alpha="number", beta="number")
    feature = schema(alpha="number", kind={"oneOf": [{"type": "string"}, {"type": "integer"}]})
    made, rows = measured(
        [
            item("same", [turn(PERSON, "other words")], "seen"),
            item("near", [turn(near)]),
            item("clone", [turn(clone)]),
            item("far", [turn(far)]),
            item("feature", [turn(feature)]),
            item("tools", [system_turn([{"name": "find_book", "description": "", "parameters": far}])]),
            item("words", [{"role": "user", "content": "nothing to compare"}]),
        ],
        EXAMPLES,
    )
    buckets = {name: row["bucket"] for name, row in rows.items()}
    assert buckets == {
        "same": "seen", "near": "near", "clone": "near", "far": "far", "feature": "held_out_feature", "tools": "near",
    }  # fmt: skip
    assert rows["near"]["similarity"] == pytest.approx(2 / 5) and rows["near"]["nearest"] == "p"
    assert rows["clone"]["same_shape"] and rows["clone"]["similarity"] == 0
    assert rows["same"]["similarity"] == 1 and rows["near"]["name_overlap"] == 0.5
    assert made.metrics["schemas"] == 2
    summary = made.metrics["suites"]["schema"]
    assert summary["buckets"] == {"seen": 1, "near": 3, "far": 1, "held_out_feature": 1}
    assert sum(summary["histogram"]) == 6 and summary["histogram"][-1] == 1


def test_answers_of_fine_tuning_show_no_schema(measured):
    _, rows = measured([item("book", [turn(schema(title="string", cover="string"))])], EXAMPLES[:1])
    assert rows["book"]["similarity"] == 0


@pytest.mark.parametrize("leak", ["spelt otherwise", "nearly the same", "as a tool"])
def test_a_leak_stops_the_build_and_names_both(measured, leak):
    content = {
        "spelt otherwise": turn({"properties": {k: PERSON["properties"][k] for k in ("city", "age", "name")}} | PERSON),
        "nearly the same": turn(schema(title="string", pages="integer", isbn="string", lent="boolean", year="integer")),
        "as a tool": system_turn([{"name": "other", "description": "x", "parameters": PERSON}]),
    }[leak]
    with pytest.raises(TrellisError, match=r"1 unseen items .* item-7 is [01]\.\d+ similar to example [pt] "):
        measured([item("item-7", [content])], EXAMPLES)


def test_the_bounds_decide(measured):
    half = item("half", [turn(schema(name="string", age="integer", zip="boolean"))])
    assert measured([half], EXAMPLES)[1]["half"]["bucket"] == "near"
    assert measured([half], EXAMPLES, near=0.6)[1]["half"]["bucket"] == "far"
    with pytest.raises(TrellisError, match="allowed: below 0.4"):
        measured([half], EXAMPLES, leak=0.4)


def test_the_same_bytes_twice(measured, tmp_path):
    items = [item("a", [turn(schema(x="string", y="number"))])]
    first = json.dumps([file.sha256 for file in measured(items, EXAMPLES)[0].files])
    assert first == json.dumps([file.sha256 for file in measured(items, EXAMPLES)[0].files])
