"""Items: gold that fits, splits that do not touch, and existing items that stay when a suite grows."""

import json

import jsonschema
import pytest

from publishing import publish
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.evaluate.items import check_gold, make_items
from trellis.sft.data import make_examples


@pytest.fixture
def schemas(tmp_path):
    folder = tmp_path / "schemas"
    folder.mkdir()
    for side in ("training", "held_out"):
        rows = []
        for i in range(6):
            properties = {f"{side}_{i}": {"type": "string"}, f"{side}_n{i}": {"type": "integer"}}
            schema = {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
            rows.append({"schema_id": f"{side}-{i}", "cluster": f"{side}-{i}", "schema": schema, "origin": []})
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    publish(folder, "evaluate", "schemas", "schemas")
    return folder


@pytest.fixture
def make(make_spec, schemas, tmp_path):
    def run(name="items", text_share=0.5, **counts):
        suites = {"schema": {"kind": "schema", "seen": 15, "unseen": 10, "seed": 42} | counts}
        config = {"suites": suites, "text_share": text_share}
        manifest = execute(make_spec("evaluate", "items", name, config, {"schemas": [schemas]}), tmp_path / name)
        lines = (tmp_path / name / "items" / "schema.jsonl").read_text().splitlines()
        return manifest, [json.loads(line) for line in lines]

    return run


def test_gold_fits_its_schema_and_is_what_the_prompt_states(make):
    _, items = make()
    with_gold = [item for item in items if item["gold"] is not None]
    assert 5 < len(with_gold) < 20
    for item in items:
        schema, *text = item["messages"][-1]["content"].split("\n")
        assert json.loads(schema) == item["schema"]
        assert bool(text) == (item["gold"] is not None)
        if text:
            jsonschema.validate(item["gold"], item["schema"])
            for name, value in item["gold"].items():
                assert any(line.startswith(name) and str(value) in line for line in text)


def test_the_splits_use_their_own_side_and_every_schema_in_turn(make):
    manifest, items = make()
    for split, side in (("seen", "training"), ("unseen", "held_out")):
        ids = [item["schema_id"] for item in items if item["split"] == split]
        assert set(ids) == {f"{side}-{i}" for i in range(6)}
    assert manifest.metrics["suites"]["schema"]["seen"]["items"] == 15
    assert manifest.metrics["suites"]["schema"]["unseen"]["clusters"] == 6


def test_a_grown_suite_keeps_its_items(make):
    small = {item["id"]: item for item in make("small")[1]}
    large = {item["id"]: item for item in make("large", seen=30, unseen=40)[1]}
    assert len(small) == 25 and len(large) == 70
    assert all(large[key] == item for key, item in small.items())


def test_no_item_is_a_training_example(make, schemas):
    rows = [json.loads(line) for line in (schemas / "training.jsonl").read_text().splitlines()]
    trained = {example["messages"][0]["content"] for example in make_examples(rows, 600, 1.0, 42)}
    _, items = make(text_share=1.0)
    assert not trained & {item["messages"][0]["content"] for item in items}


def test_gold_that_does_not_fit_stops_the_build():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    row = {"schema_id": "s", "cluster": "s", "schema": schema}
    items = list(make_items("schema", "seen", [row], 3, 1.0, 42))
    check_gold(items)
    items[1]["gold"] = {"a": "one"}
    with pytest.raises(TrellisError, match="schema-seen-00001"):
        check_gold(items)
