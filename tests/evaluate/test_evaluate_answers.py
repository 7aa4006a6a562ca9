"""Strict and lenient reading of answers, and their comparison: planted faults are found, hostile output costs little."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trellis.evaluate.agreement import agreement, equal
from trellis.evaluate.answer import MAX_DEPTH, MAX_LENGTH, REPLACED, NotJson, parse, parse_lenient

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=REPLACED))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
ALL = ("exact", "leaf_f1", "key_f1", "type_accuracy")


@given(JSON)
def test_every_json_text_is_read_as_it_was_written(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        assert parse(f" \n{text}\t") == parse_lenient(text) == value


@pytest.mark.parametrize(
    "output",
    [
        "",
        "{",
        '{"a":1} done',
        'Here it is: {"a":1}',
        '```json\n{"a":1}\n```',
        '{"a":1,"a":2}',
        '{"b":{"a":1,"a":1}}',
        '{"a":1,"\\u0061":2}',
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":1e999}',
        "{'a':1}",
        '{"a":1,}',
        '{"a":01}',
        '{"a":"\t"}',
        '{"a":"\\ud800"}',
        '{"a":"\ud800"}',
        '{"\\udc00":1}',
        "\ufeff{}",
        "\u00a0{}",
        "\x00{}",
        "{}\x00",
        '{"a":"\x00"}',
        "1" * 5000,
        '{"a":1' + "0" * 5000 + "}",
        '{"a":1}{"a":1}',
        "\u0661",  # a digit, of another script
        "\uff5b\uff5d",  # full-width braces
    ],
)
def test_what_a_strict_reader_refuses_is_refused(output):
    with pytest.raises(NotJson):
        parse(output)


def test_the_deepest_and_the_longest_that_are_read():
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert len(parse('"' + "x" * (MAX_LENGTH - 2) + '"')) == MAX_LENGTH - 2
    assert parse(json.dumps(["[" * 200, '"' + "{" * 200])) == ["[" * 200, '"' + "{" * 200]
    for output in ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), '"' + "x" * (MAX_LENGTH - 1) + '"'):
        with pytest.raises(NotJson):
            parse(output)


LENGTH = MAX_LENGTH
ATTACKS = {
    "brackets": "[" * LENGTH,
    "balanced brackets": "[" * (LENGTH // 2) + "]" * (LENGTH // 2),
    "objects": '{"a":' * (LENGTH // 5),
    "brackets after a fence": "```\n" + "[" * (LENGTH - 10) + "\n```",
    "fences": "```\n" * (LENGTH // 4),
    "backslashes": '"' + "\\" * (LENGTH - 1),
    "escaped quotes": '"' + '\\"' * (LENGTH // 2 - 1),
    "strings": '"a' * (LENGTH // 2),
    "quotes and brackets": '["' * (LENGTH // 2),
    "words": "x" * LENGTH,
    "an open string": '{"a":"' + "y" * (LENGTH - 6),
    "a number": "1" * LENGTH,
    "a fraction that goes on": "[0." + "1" * (LENGTH - 4),
    "minus": "-" * LENGTH,
    "an open array": '{"k":[' + "1," * (LENGTH // 2 - 3),
    "NUL": "\x00" * LENGTH,
    "closed before opened": "]" * (LENGTH // 2) + "[" * (LENGTH // 2),
    "a megabyte": "[1," * 350_000,
    "a million items": "[" + ",".join(["0"] * 1_000_000) + "]",
    "100,000 brackets and their ends": "[" * 100_000 + "]" * 100_000,
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("read", [parse, parse_lenient])
def test_hostile_output_is_refused_in_bounded_time(attack, read):
    start = time.process_time()
    with pytest.raises(NotJson):
        read(ATTACKS[attack])
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("output", "value"),
    [
        ('Here it is: {"a":[1,"}"]} done', {"a": [1, "}"]}),
        ('```json\n{"a":1}\n```', {"a": 1}),
        ("Sure!\n```\n[1,2]\n```\nand\n```\n[3]\n```", [1, 2]),
        ("```\n3\n```", 3),
        ('```python\nf(x)\n```\nso {"a":1}', {"a": 1}),
        ('{"a":1}{"b":2}', {"a": 1}),
        ("```json\n{}", {}),
    ],
)
def test_the_lenient_reader_takes_the_first_fenced_or_balanced_value(output, value):
    assert parse_lenient(output) == value


@pytest.mark.parametrize(
    "output", ["", "no value", "```json\n{'a':1}\n```", '{"a":1', '[1,] {"a":1}', '{"a":1,"a":2}', 'a "{" and [1]']
)
def test_the_lenient_reader_is_strict_about_the_value(output):
    with pytest.raises(NotJson):
        parse_lenient(output)


def test_equality_is_of_values():
    assert equal({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0})
    assert equal({"a": "caf\u00e9 "}, {"a": "cafe\u0301"})
    assert equal(10**30, 10**30)
    for one, other in [
        (1, True),
        (0, False),
        (1, "1"),
        (None, "None"),
        (True, "True"),
        ([1, 2], [2, 1]),
        ({}, []),
        ("", None),
        ({"a": 1}, {"a": 1, "b": 2}),
    ]:
        assert not equal(one, other)
        assert agreement(one, other)["exact"] == agreement(other, one)["exact"] == 0


@given(JSON)
def test_a_value_agrees_with_its_copy(value):
    assert agreement(value, json.loads(json.dumps(value))) == dict.fromkeys(ALL, 1)


@given(JSON, JSON)
def test_agreement_is_as_a_plain_reading_of_its_definition(value, gold):
    """Every path and value written out, and counted."""
    found = agreement(value, gold)
    one, other = leaves(value), leaves(gold)
    same = [path for path in other if path in one and equal(one[path], other[path])]
    assert found["leaf_f1"] == pytest.approx(2 * len(same) / (len(one) + len(other)))
    types = [path for path in other if (node := at(value, path)) is not MISSING and kind(node) == kind(other[path])]
    assert found["type_accuracy"] == pytest.approx(len(types) / len(other))
    assert found["exact"] == (sorted(one) == sorted(other) and len(same) == len(one))
    assert found["key_f1"] == agreement(gold, value)["key_f1"]


MISSING = object()


def leaves(value, path=()):
    children = [(f"{type(value).__name__} {step}", child) for step, child in steps(value)]
    return {k: v for step, child in children for k, v in leaves(child, (*path, step)).items()} or {path: value}


def steps(value):
    return value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()


def at(value, path):
    for step in path:
        value = {f"{type(value).__name__} {name}": child for name, child in steps(value)}.get(step, MISSING)
    return value


def kind(value):
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_agreement_counts_values_at_their_places():
    gold = {"a": 1, "b": {"c": [1, 2]}}
    assert agreement({"a": 1}, gold)["leaf_f1"] == pytest.approx(2 * 1 / (1 + 3))
    assert agreement({"b": {"c": [2, 1]}}, gold)["leaf_f1"] == 0
    assert agreement({"b": {"c": [2, 1]}}, gold)["type_accuracy"] == pytest.approx(2 / 3)
    assert agreement({"a": 5, "x": 1}, gold)["key_f1"] == pytest.approx(2 * 1 / (2 + 3))
    assert agreement({"a": "1", "b": {"c": [1.0, None]}}, gold)["type_accuracy"] == pytest.approx(1 / 3)
    assert agreement({}, gold) == {"exact": 0, "leaf_f1": 0, "key_f1": 0, "type_accuracy": 0}
    assert agreement([{"k": 1}, {"k": 2}], [{"k": 2}])["key_f1"] == pytest.approx(2 / 3)
    assert agreement({"a": [{"b": 1}]}, {"a": [{"b": 2}]})["key_f1"] == 1


def test_an_index_is_no_key():
    assert agreement({"0": 1}, [1])["leaf_f1"] == 0


def test_a_large_value_is_compared_in_bounded_time():
    deep = [0]
    for _ in range(MAX_DEPTH - 2):
        deep = [deep]
    for value in ([[index] for index in range(MAX_LENGTH // 8)], [deep] * 700, {str(i): i for i in range(10_000)}):
        start = time.process_time()
        agreement(value, {"a": 1})
        agreement(value, value[:-1] if isinstance(value, list) else {})
        assert time.process_time() - start < 3
