"""Strict reading of answers, and their comparison: planted faults are found, hostile output costs little."""

import json
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trellis.evaluate.answer import NotJson, equal, f1, keys, leaves, parse

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_every_json_text_is_read_as_it_was_written(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        assert parse(f" \n{text}\t") == value


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
        "1" * 5000,
        '{"a":1}{"a":1}',
    ],
)
def test_what_a_strict_reader_refuses_is_refused(output):
    with pytest.raises(NotJson):
        parse(output)


@pytest.mark.parametrize(
    "output",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000,
        '"' + "\\" * 999_999,
        '"' + '\\"' * 500_000,
        '"a' * 500_000,
        "x" * 1_000_000,
        '{"a":"' + "y" * 1_000_000,
        "1" * 1_000_000,
        "-" * 1_000_000,
        '{"k":[' + "1," * 500_000,
        "\x00" * 1_000_000,
    ],
    ids=range(12),
)
def test_hostile_output_is_refused_in_bounded_time(output):
    start = time.monotonic()
    with pytest.raises(NotJson):
        parse(output)
    assert time.monotonic() - start < 3


def test_equality_is_of_values():
    assert equal({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0})
    assert equal({"a": "caf\u00e9 "}, {"a": "cafe\u0301"})
    assert equal(10**30, 10**30)
    for one, other in [
        (1, True),
        (0, False),
        (1, "1"),
        (None, "None"),
        ([1, 2], [2, 1]),
        ({}, []),
        ({"a": 1}, {"a": 1, "b": 2}),
    ]:
        assert not equal(one, other)


@given(JSON)
def test_a_value_equals_its_copy_and_has_full_overlap_with_it(value):
    copy = json.loads(json.dumps(value))
    assert equal(value, copy)
    assert f1(Counter(leaves(value)), Counter(leaves(copy))) == 1
    assert f1(Counter(keys(value)), Counter(keys(copy))) == 1


def test_overlap_counts_values_at_their_places():
    gold = {"a": 1, "b": {"c": [1, 2]}}
    assert f1(Counter(leaves({"a": 1})), Counter(leaves(gold))) == pytest.approx(2 * 1 / (1 + 3))
    assert f1(Counter(leaves({"b": {"c": [2, 1]}})), Counter(leaves(gold))) == 0
    assert f1(Counter(keys({"a": 5, "x": 1})), Counter(keys(gold))) == pytest.approx(2 * 1 / (2 + 3))
    assert f1(Counter(leaves({})), Counter(leaves(gold))) == 0
