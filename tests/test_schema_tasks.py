"""Schema tasks: the instance fits, the text states it and nothing else, the sides share no value, and a task depends on its
seed alone."""

import json
import random
import re
from typing import get_args

import jsonschema
import jsonschema_rs
import llguidance
import llguidance.hf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from byte_tokenizer import publish_byte_tokenizer
from text_reader import readings
from trellis import schema_tasks as tasks
from trellis.evaluate.strata import assemble, draw_properties
from trellis.evaluate.vocabulary import KINDS, Property
from trellis.experiment.evaluation import Stratum
from trellis.schema_tasks import text
from trellis.schema_tasks.values import Values, smallest_instance

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "price": {"type": "number"},
        "open": {"type": "boolean"},
        "size": {"type": "string", "enum": ["small", "large"]},
        "guests": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["city", "days", "price", "open", "size", "guests"],
    "additionalProperties": False,
}
STRATA = get_args(Stratum)
SPECS = {"enum": {"type": "string", "enum": ["a b", "c", "d"]}, "array": {"type": "array", "items": {"type": "number"}}}
BY_KIND = {
    kind: [Property(f"{kind}_{i}", kind, SPECS.get(kind, {"type": kind}), "p") for i in range(40)] for kind in KINDS
}


def draw(side, index, share=1.0):
    return tasks.make_task(SCHEMA, "flat", side, share, tasks.seeded(index))


def schema_of(stratum, seed, counts=(1, 8)):
    rng = random.Random(seed)
    while True:
        drawn = draw_properties(stratum, BY_KIND, counts, rng)
        names = [p.name for p in (*drawn.leaves, *drawn.others)]
        if len(set(names)) == len(names):
            return assemble(stratum, drawn, rng)


def task_of(stratum, seed, side="evaluation", share=1.0):
    schema = schema_of(stratum, seed)
    (message,), instance, _ = tasks.make_task(schema, stratum, side, share, tasks.seeded(seed, side))
    spelt, *told = message["content"].split("\n", 1)
    assert json.loads(spelt) == schema
    return schema, (told or [None])[0], instance


@pytest.mark.parametrize("side", ["training", "evaluation"])
def test_every_flat_instance_fits_its_schema_in_the_order_of_its_properties(side):
    for index in range(200):
        _, instance, _ = draw(side, index)
        jsonschema.validate(instance, SCHEMA)
        assert list(instance) == SCHEMA["required"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(STRATA), st.integers(0, 2**32), st.sampled_from(["training", "evaluation"]))
def test_in_every_stratum_the_schema_is_one_and_its_instances_fit(stratum, seed, side):
    schema, _, instance = task_of(stratum, seed, side)
    jsonschema.Draft202012Validator.check_schema(schema)
    for each in (instance, smallest_instance(schema)):
        jsonschema.validate(each, schema)
        assert jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(each)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([each for each in STRATA if each != "flat"]), st.integers(0, 2**32))
def test_a_narrated_text_can_be_read_in_one_way_and_gives_the_gold(stratum, seed):
    """Whatever the distractors: the reader takes any way to cut the text into sentences."""
    schema, told, instance = task_of(stratum, seed)
    assert readings(told, schema) == [instance]


def test_constrained_decoding_can_write_the_gold_of_every_stratum(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(publish_byte_tokenizer(tmp_path) / "tokenizer")
    known = llguidance.hf.from_tokenizer(tokenizer)
    options = {"whitespace_flexible": False, "coerce_one_of": True}
    for stratum in STRATA:
        for seed in range(20):
            schema, _, instance = task_of(stratum, seed)
            matcher = llguidance.LLMatcher(
                known, llguidance.LLMatcher.grammar_from_json_schema(schema, overrides=options)
            )
            answer = tokenizer.encode(tasks.answer_json(instance))
            assert matcher.try_consume_tokens(answer) == len(answer) and matcher.is_accepting(), (stratum, seed)


def test_the_reader_would_see_a_second_answer():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    assert readings("The a is 3. In another record, the a is 4.", schema) == [{"a": 3}]
    assert readings("The a is 3. a = 4.", schema) == []
    assert readings("The a is not 3 but 4. b is unknown.", schema) == [{"a": 4, "b": None}]


def test_narrated_texts_have_every_form_and_every_kind_of_distractor():
    told = " ".join(task_of(stratum, seed)[1] for stratum in STRATA if stratum != "flat" for seed in range(150))
    for form in (*text.STATED, *text.UNKNOWN, *text.CORRECTED, *text.ELSEWHERE):
        fixed = max(re.split(r"\{\w+\}", form), key=len)
        assert fixed in told
    for form in text.SIMILAR:
        assert re.search(form.format(r"\w+_\d+"), told), form


def test_most_narrated_texts_have_a_distractor_and_none_gives_the_value_away():
    marks = ("another record", "limit", " code", "draft ", "former ", " is not ", "was first given as")
    texts = [task_of("nested", seed)[1] for seed in range(300)]
    assert 0.6 < sum(any(mark in each for mark in marks) for each in texts) / len(texts) < 0.9
    for told in texts:
        for wrong, right in re.findall(r"is not (\S+) but (\S+)\. ?", told):
            assert wrong != right


@pytest.mark.parametrize(
    ("stratum", "has"),
    [
        ("nested", lambda s: any(p.get("type") == "object" for p in s["properties"].values())),
        ("arrays", lambda s: any(p.get("items", {}).get("type") == "object" for p in s["properties"].values())),
        ("optional", lambda s: 0 < len(s["required"]) < len(s["properties"])),
        ("conditional", lambda s: any(len(p.get("oneOf", ())) > 1 for p in s["properties"].values())),
        ("adversarial", lambda s: any(p == {"type": "string"} for p in s["properties"].values())),
        ("flat", lambda s: not any({"properties", "oneOf"} & p.keys() for p in s["properties"].values())),
    ],
)
def test_a_stratum_is_what_it_says(stratum, has):
    assert all(has(schema_of(stratum, seed)) for seed in range(100))


def test_absent_and_null_are_both_asked_for_and_told_apart():
    tasks_ = [task_of("optional", seed) for seed in range(200)]
    absent = [set(schema["properties"]) - set(instance) for schema, _, instance in tasks_]
    null = [{name for name, value in instance.items() if value is None} for _, _, instance in tasks_]
    assert sum(map(bool, absent)) > 60 and sum(map(bool, null)) > 40
    for (_, told, _), gone, unknown in zip(tasks_, absent, null, strict=True):
        assert told.startswith(tasks.RULE)
        assert not any(re.search(rf"\b{name}\b", told) for name in gone)
        assert all(re.search(rf"\b{name}\b", told) for name in unknown)


def test_adversarial_values_are_what_a_careless_writer_gets_wrong():
    drawn = [
        Values("evaluation", random.Random(seed), adversarial=True).draw({"type": "string"}) for seed in range(800)
    ]
    assert all(value == value.strip() for value in drawn)
    for wanted in ('"', "\\", "\n", "\t", "{", "}", "é", "中"):
        assert any(wanted in value for value in drawn), wanted
    read = []
    for value in drawn:
        try:
            read.append(json.loads(value))
        except ValueError:
            continue
    kinds = {type(value) for value in read}
    assert {dict, list, bool, type(None)} <= kinds, "strings that look like JSON"
    assert any(re.fullmatch(r"0\d+|\+\d+|\d+\.\d+|\d+,\d+", value) for value in drawn), "strings that look like numbers"


def test_where_nothing_is_stated_the_answer_is_the_one_smallest_instance():
    for index in range(20):
        _, instance, stated = draw("training", index, share=0.0)
        jsonschema.validate(instance, SCHEMA)
        assert not stated
        assert instance == {"city": "", "days": 0, "price": 0, "open": False, "size": "small", "guests": []}


@pytest.mark.parametrize("stratum", STRATA)
def test_no_word_of_a_training_value_is_a_word_of_an_evaluation_value(stratum):
    """Nor of a text's distractors: enums aside, no letter run of a quoted string is common to both sides."""
    fixed = {word for p in BY_KIND["enum"] for value in p.spec["enum"] for word in value.split()}

    def words(side):
        told = " ".join(task_of(stratum, seed, side)[1] for seed in range(300))
        quoted = re.findall(r'«([^»]*)»|"([^"]*)"', told)
        return set(re.findall(r"[^\W\d_]+", " ".join(a or b for a, b in quoted))) - fixed

    assert words("training") and words("evaluation")
    assert not words("training") & words("evaluation")


def test_a_stated_flat_text_holds_every_value_and_an_unstated_one_no_text_at_all():
    for index in range(100):
        (message,), instance, stated = draw("evaluation", index, share=0.5)
        schema, *told = message["content"].split("\n")
        assert json.loads(schema) == SCHEMA and bool(told) == stated
        if stated:
            assert sorted(line.split()[0].rstrip(":") for line in told) == sorted(instance)
            for name, value in instance.items():
                (line,) = [line for line in told if line.startswith(name)]
                assert line.endswith(tasks.answer_json(value))


def test_the_share_of_stated_tasks_is_the_one_asked_for():
    stated = [draw("training", index, share=0.25)[2] for index in range(2000)]
    assert 0.21 < sum(stated) / len(stated) < 0.29


@pytest.mark.parametrize("stratum", STRATA)
def test_a_task_is_a_function_of_its_seed(stratum):
    assert task_of(stratum, 7) == task_of(stratum, 7)
    assert task_of(stratum, 7) != task_of(stratum, 8)
