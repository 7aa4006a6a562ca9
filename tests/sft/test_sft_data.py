"""SFT data: only training schemas, each of them, the same examples at every count, none too long."""

import json

import jsonschema
import pytest
from transformers import PreTrainedTokenizerFast

from trellis.chat import template
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.sft.data import make_examples

CONFIG = {
    "schema_examples": 60, "text_share": 0.5, "max_length": 128, "seed": 42, "template": "plain", "hub": [],
    "decontamination": {}, "distance": {},
}  # fmt: skip


@pytest.fixture
def make_data(make_spec, schemas, tokenizer, tmp_path):
    def make(name="data", **changes):
        spec = make_spec("sft", "data", name, CONFIG | changes, {"schemas": [schemas], "tokenizer": [tokenizer]})
        manifest = execute(spec, tmp_path / name)
        return manifest, [json.loads(line) for line in (tmp_path / name / "train.jsonl").read_text().splitlines()]

    return make


def test_no_property_name_of_the_held_out_side_is_in_the_data(make_data, schemas):
    _, examples = make_data()
    held_out = [json.loads(line) for line in (schemas / "held_out.jsonl").read_text().splitlines()]
    names = {name for row in held_out for name in row["schema"]["properties"]}
    text = json.dumps(examples)
    assert len(names) == 12 and not any(f'{name}\\"' in text for name in names)
    assert {example["schema_id"] for example in examples} == {f"training-{i}" for i in range(12)}


def test_every_answer_fits_the_schema_in_its_prompt(make_data):
    _, examples = make_data()
    for example in examples:
        user, assistant = example["messages"]
        jsonschema.validate(json.loads(assistant["content"]), json.loads(user["content"].split("\n")[0]))


def test_a_larger_set_begins_with_the_smaller_one():
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    schemas = [{"schema_id": "a", "stratum": "flat", "schema": schema}] * 3
    small, large = (list(make_examples(schemas, count, 0.5, 42)) for count in (20, 50))
    assert large[:20] == small and large[20:] != small


def test_examples_that_are_too_long_are_left_out_and_counted(make_data, tokenizer):
    everything, examples = make_data()
    tok = PreTrainedTokenizerFast.from_pretrained(tokenizer / "tokenizer", chat_template=template("plain"))
    lengths = [len(tok.apply_chat_template(example["messages"], return_dict=False)) for example in examples]
    # The shortest limit that leaves every schema an example.
    limit = max(min(lengths[i::12]) for i in range(12))
    manifest, kept = make_data("short", max_length=limit)
    assert manifest.metrics["too_long"] == sum(length > limit for length in lengths) > 0
    assert kept == [example for example, length in zip(examples, lengths, strict=True) if length <= limit]
    assert everything.metrics["tokens"] == sum(lengths)


def test_a_training_schema_without_an_example_stops_the_stage(make_data):
    with pytest.raises(TrellisError, match=r"sft.mixes: schema_examples: 5 examples .* leave 7 of 12"):
        make_data(schema_examples=5)


def test_the_same_spec_gives_the_same_bytes(make_data):
    assert make_data("one")[0].files[0].sha256 == make_data("two")[0].files[0].sha256
