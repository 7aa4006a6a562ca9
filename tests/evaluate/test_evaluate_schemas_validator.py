"""A validator's work is bounded, whatever the schema."""

import json
import time

import pytest

from trellis.evaluate.validator import NotASchema, validator


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "(((a{1,100}){1,100}){1,100}){1,100}"},
        {
            "$defs": {**{f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}, "a40": {}},
            "$ref": "#/$defs/a0",
        },
        {"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"not": {"$ref": "#"}}}},
        json.loads('{"not":' * 900 + "{}" + "}" * 900),
        json.loads('{"items":' * 900 + "{}" + "}" * 900),
    ],
    ids=["a pattern's size", "doubling", "a reference to itself", "deep in place", "deep"],
)
def test_a_bomb_is_refused_at_once(schema):
    start = time.monotonic()
    with pytest.raises(NotASchema):
        validator(schema)
    assert time.monotonic() - start < 1


def test_a_pattern_that_would_explode_takes_bounded_time_and_does_not_match():
    start = time.monotonic()
    assert not validator({"pattern": r"^(?:(a|a|aa)+)\1$"}).is_valid("a" * 5_000 + "b")
    assert time.monotonic() - start < 2


def test_recursion_into_a_value_is_no_endless_schema():
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["x"]}
    assert validator(tree).is_valid({"x": 1, "next": {"x": 2}}) and not validator(tree).is_valid({"x": 1, "next": {}})
