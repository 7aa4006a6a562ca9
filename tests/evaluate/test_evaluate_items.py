"""Items: gold that fits, splits that do not touch, exclusion by the shared tokenizer, and items that stay when a suite
grows."""

import json
from pathlib import Path

import jsonschema
import pytest
from transformers import PreTrainedTokenizerFast

from byte_tokenizer import publish_byte_tokenizer
from imagined import imagined_lock
from publishing import made_in_another_process, publish
from trellis.chat import attach
from trellis.command import execute
from trellis.dataflow import build_jobs
from trellis.errors import TrellisError
from trellis.evaluate.items import check_gold, features
from trellis.evaluate.prompting import answer_ids
from trellis.evaluate.suites.schema import make_shots
from trellis.experiment.whole import load_experiment
from trellis.manifest import file_sha256
from trellis.schema_tasks import RULE, make_task, seeded

ROOT = Path(__file__).parents[2]
STRATA = ("flat", "nested", "optional")


def schema_of(side, index):
    one, two = {f"{side}_{index}": {"type": "string"}}, {f"{side}_n{index}": {"type": "integer"}}
    stratum = STRATA[index % 3]
    inner = {"type": "object", "properties": two, "required": list(two), "additionalProperties": False}
    properties = one | {"nested": {f"{side}_o{index}": inner}}.get(stratum, two)
    required = list(one) if stratum == "optional" else list(properties)
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    key = f"{side}-{index}"
    return {"schema_id": key, "cluster": key, "stratum": stratum, "schema": schema, "origin": []}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A pool of six schemas a side, and a tokenizer that takes every byte for a token."""
    pool, tokenizer = tmp_path_factory.mktemp("schemas"), tmp_path_factory.mktemp("tokenizer")
    for side in ("training", "held_out"):
        rows = [schema_of(side, index) for index in range(6)]
        (pool / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"schemas": [publish(pool)], "tokenizer": [publish_byte_tokenizer(tokenizer)]}


@pytest.fixture
def make(make_spec, inputs, tmp_path):
    def run(name="items", text_share=0.5, room=4000, longest=4000, shots=3, **counts):
        suite = {"kind": "schema", "seen": 15, "unseen": 10, "seed": 42} | counts
        config = {"name": "schema", "suite": suite, "text_share": text_share, "template": "plain", "room": room}
        config["max_new_tokens"] = longest
        spec = make_spec("evaluate", "items", name, config | {"shots": shots}, inputs)
        return execute(spec, tmp_path / name), *(
            [json.loads(line) for line in (tmp_path / name / f"{file}.jsonl").read_text().splitlines()]
            for file in ("items", "excluded", "shots")
        )

    return run


def test_gold_fits_its_schema_and_is_what_the_prompt_states(make):
    _, items, _, _ = make()
    assert 5 < sum(item["gold"] is not None for item in items) < 20
    for item in items:
        schema, *text = item["messages"][-1]["content"].split("\n", 1)
        assert json.loads(schema) == item["schema"]
        assert bool(text) == (item["gold"] is not None) == (item["answer"] is not None)
        if text:
            jsonschema.validate(item["gold"], item["schema"])
            assert json.loads(item["answer"]) == item["gold"] and " :" not in item["answer"]
            assert text[0].startswith(RULE) == (item["stratum"] == "optional")
            for name in item["gold"]:
                assert name in text[0]


def test_the_splits_use_their_own_side_and_every_schema_in_turn(make):
    manifest, items, _, _ = make()
    for split, side in (("seen", "training"), ("unseen", "held_out")):
        ids = [item["schema_id"] for item in items if item["split"] == split]
        assert set(ids) == {f"{side}-{i}" for i in range(6)}
    assert manifest.metrics["splits"]["seen"]["items"] == 15
    assert manifest.metrics["splits"]["unseen"]["clusters"] == 6
    assert {item["stratum"] for item in items} == set(STRATA)


def test_the_manifest_vouches_for_the_items(make, tmp_path):
    manifest, items, excluded, _ = make()
    assert manifest.metrics["sha256"] == file_sha256(tmp_path / "items" / "items.jsonl")
    assert manifest.metrics["kind"] == "schema" and manifest.metrics["excluded"] == len(excluded) == 0
    assert manifest.metrics["baselines"] == {"{}": 0.0}
    wanted = {"nested": "nested", "optional": "optional"}
    for feature, stratum in wanted.items():
        assert manifest.metrics["features"][feature] == sum(item["stratum"] == stratum for item in items)


def test_a_grown_suite_keeps_its_items(make):
    small = {item["id"]: item for item in make("small")[1]}
    large = {item["id"]: item for item in make("large", seen=30, unseen=40)[1]}
    assert len(small) == 25 and len(large) == 70
    assert all(large[key] == item for key, item in small.items())


def test_no_item_is_a_training_task(make, inputs):
    rows = [json.loads(line) for line in (inputs["schemas"][0] / "training.jsonl").read_text().splitlines()]
    trained = {
        make_task(row["schema"], row["stratum"], "training", 1.0, seeded(42, "sft", index))[0][0]["content"]
        for index in range(600)
        for row in (rows[index % 6],)
    }
    _, items, _, shots = make(text_share=1.0)
    asked = {item["messages"][0]["content"] for item in items}
    assert not trained & asked
    assert not {shot["messages"][0]["content"] for shot in shots} & asked


def test_what_leaves_no_room_is_left_out_by_the_shared_tokenizer_and_listed(make, inputs):
    _, everything, _, _ = make("all")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(inputs["tokenizer"][0] / "tokenizer")
    attach(tokenizer, "plain")
    lengths = {
        item["id"]: len(tokenizer.apply_chat_template(item["messages"], add_generation_prompt=True, return_dict=False))
        for item in everything
    }
    room = sorted(lengths.values())[12]
    manifest, kept, excluded, _ = make("some", room=room)
    assert [item["id"] for item in kept] == [key for key, length in lengths.items() if length <= room]
    answers = {item["id"]: item["answer"] and len(answer_ids(tokenizer, item["answer"])) + 1 for item in everything}
    assert excluded == [{"id": key, "n_prompt": n, "n_answer": answers[key]} for key, n in lengths.items() if n > room]
    assert len(kept) >= 13 and len(excluded) == manifest.metrics["excluded"] > 5

    longest = sorted(filter(None, answers.values()))[6]
    _, kept, excluded, _ = make("short", longest=longest)
    assert [item["id"] for item in kept] == [key for key, length in answers.items() if (length or 0) <= longest]
    assert {item["id"] for item in excluded} == {key for key, length in answers.items() if (length or 0) > longest}


def test_every_model_is_asked_the_same_items():
    """No model has an exclusion of its own: all generate from one items result, which the shared tokenizer made."""
    experiment = load_experiment(ROOT / "config/experiments/smoke.yaml")
    jobs = build_jobs(experiment, imagined_lock(experiment))
    made = {job.config["name"]: job for job in jobs if job.command == "items"}
    assert set(made) == set(experiment.evaluation.suites)
    (tokenizer,) = {job for items in made.values() for job in items.inputs["tokenizer"]}
    assert (tokenizer.stage, tokenizer.command) == ("tokenize", "tokenizer")
    generations = [job for job in jobs if job.command == "generate"]
    for name, items in made.items():
        asked = [job for job in generations if job.inputs["items"] == [items]]
        assert len(asked) == len(generations) / len(made) > 2, name


def test_too_small_a_context_is_said(make):
    with pytest.raises(
        TrellisError,
        match=r"evaluation\.suites\.schema: of its items 0 have .* at most 5 tokens and .* \(25 have more\)",
    ):
        make(room=5)


def test_shots_are_short_tasks_with_training_values_stated_and_not_in_turn(make, inputs):
    _, items, _, shots = make(text_share=0.5, shots=3)
    rows = [json.loads(line) for line in (inputs["schemas"][0] / "training.jsonl").read_text().splitlines()]
    by_schema = {json.dumps(row["schema"]): row for row in rows}
    assert len(shots) == 3 and ["\n" in shot["messages"][0]["content"] for shot in shots] == [True, False, True]
    for shot in shots:
        schema = json.loads(shot["messages"][0]["content"].split("\n")[0])
        assert json.dumps(schema) in by_schema
        jsonschema.validate(json.loads(shot["answer"]), schema)
    lengths = [len(shot["messages"][0]["content"]) for shot in shots]
    assert max(lengths) < max(len(item["messages"][0]["content"]) for item in items)


@pytest.mark.parametrize(("share", "stated"), [(1.0, [True, True]), (0.0, [False, False]), (0.3, [True, False])])
def test_shots_are_of_the_kinds_that_the_items_are(share, stated):
    shots = make_shots([schema_of("training", index) for index in range(5)], 2, share, 42)
    assert ["\n" in shot["messages"][0]["content"] for shot in shots] == stated


def test_fewer_shots_are_the_first_of_more_and_no_schema_comes_twice():
    rows = [schema_of("training", index) for index in range(100)]
    four = make_shots(rows, 4, 1.0, 42)
    assert make_shots(rows, 2, 1.0, 42) == four[:2]
    assert len({shot["messages"][0]["content"].split("\n")[0] for shot in four}) == 4
    shortest = min(len(make_shots([row], 1, 1.0, 42)[0]["answer"]) for row in rows[:64])
    assert len(four[0]["answer"]) <= shortest + 10
    assert len(make_shots(rows[:1], 3, 1.0, 42)) == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gold": {"a": "one"}}, 'the gold of item x does not fit its schema: "one" is not of type "integer"'),
        ({"gold": {"a": 1, "day": "2023-02-29"}}, 'does not fit its schema: "2023-02-29" is not a "date"'),
        ({"schema": {"$ref": "http://localhost/x"}}, "the schema of item x cannot be used: .* leads elsewhere"),
    ],
)
def test_gold_that_does_not_fit_stops_the_build(change, says):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "day": {"format": "date"}}}
    item = {"id": "x", "schema": schema, "gold": {"a": 1}}
    check_gold(item)
    with pytest.raises(TrellisError, match=says):
        check_gold(item | change)


def test_features_are_told_from_names_and_values():
    assert features({"properties": {"enum": {"type": "string"}}, "required": ["enum"]}) == set()
    assert features({"enum": [{"pattern": 1}]}) == {"enum"}
    found = features(
        {
            "properties": {"a": {"properties": {"b": {"type": ["null", "string"], "pattern": "x"}}}},
            "oneOf": [{"minItems": 2}, True],
        }
    )
    assert found == {"nested", "optional", "nullable", "pattern", "oneOf", "minItems"}
    assert features(None) == set()


def test_the_items_are_the_same_bytes_in_another_process(make_spec, inputs, tmp_path):
    """Whatever order a process gives its sets."""
    suite = {"kind": "schema", "seen": 15, "unseen": 10, "seed": 42}
    config = {"name": "schema", "suite": suite, "text_share": 0.7, "template": "plain", "room": 300, "shots": 2}
    config["max_new_tokens"] = 512
    spec = make_spec("evaluate", "items", "items", config, inputs)
    one, two = (made_in_another_process(spec, tmp_path / seed, seed) for seed in ("1", "2"))
    assert one == two and len(one) == 3
