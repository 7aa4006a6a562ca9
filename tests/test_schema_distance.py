"""Distances between schemas: against the plainest computation, and blind to whatever says nothing."""

import copy
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trellis.schema_distance import SchemaSet, canonical, elements, keywords, names, shape

NAMES = st.sampled_from(list("abcdefgh"))
LEAVES = st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean")])
INNER = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(lambda p: {"type": "object", "properties": p})
        | inner.map(lambda item: {"type": "array", "items": item})
    ),
    max_leaves=4,
)
SCHEMAS = st.dictionaries(NAMES, INNER, min_size=1, max_size=4).map(lambda p: {"type": "object", "properties": p})


def plain_similarity(one, other):
    return len(one & other) / len(one | other) if one | other else 0.0


@settings(max_examples=60, deadline=None)
@given(st.lists(SCHEMAS, min_size=1, max_size=12), st.lists(SCHEMAS, min_size=1, max_size=12))
def test_the_nearest_is_the_nearest(known, others):
    known, others = list(map(elements, known)), list(map(elements, others))
    similarity, place = SchemaSet(known).nearest(others)
    for other, found, at in zip(others, similarity, place, strict=True):
        wanted = [plain_similarity(other, each) for each in known]
        assert found == pytest.approx(max(wanted))
        assert at == (int(np.argmax(wanted)) if max(wanted) else -1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(SCHEMAS, min_size=1, max_size=14),
    st.lists(SCHEMAS, min_size=1, max_size=3),
    st.sampled_from([0.3, 0.5, 1.0]),
)
def test_what_hangs_together_is_found_step_by_step(known, others, least):
    known, others = list(map(elements, known)), list(map(elements, others))
    reached, frontier = set(), others
    while frontier:
        fresh = {
            place
            for place, each in enumerate(known)
            if place not in reached and any(plain_similarity(each, one) >= least for one in frontier)
        }
        reached |= fresh
        frontier = [known[place] for place in fresh]
    assert set(np.flatnonzero(SchemaSet(known).connected(others, least))) == reached


def test_a_chain_is_one_component_and_a_gap_ends_it():
    chain = [frozenset("ab"), frozenset("bc"), frozenset("cd"), frozenset("xy")]
    # Neighbours share one of three elements.
    assert SchemaSet(chain).connected([frozenset("a")], 1 / 3).tolist() == [True, True, True, False]
    assert SchemaSet(chain).connected([frozenset("a")], 0.5).tolist() == [True, False, False, False]


def test_nothing_known_and_nothing_asked():
    similarity, place = SchemaSet([]).nearest([frozenset("a")])
    assert similarity.tolist() == [0] and place.tolist() == [-1]
    assert SchemaSet([frozenset("a")]).nearest([])[0].tolist() == []


def test_elements_say_where_and_what():
    schema = {
        "type": "object",
        "description": "a person",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "tags": {"type": "array", "items": {"enum": ["x"], "type": "string"}},
            "home": {"$ref": "#/$defs/place"},
        },
        "$defs": {"place": {"type": "dict", "properties": {"zip": {"type": ["null", "int"]}}}},
        "required": ["name"],
        "additionalProperties": False,
    }
    assert elements(schema) == {
        ("/name", "string", ""), ("/name", "string", "minLength"), ("/tags", "array", ""), ("/tags/*", "string", ""),
        ("/tags/*", "string", "enum"), ("/home", "object", ""), ("/home/zip", "integer|null", ""),
    }  # fmt: skip
    assert keywords(schema) == {"minLength", "enum"}
    assert names(schema) == {"name", "tags", "home", "zip"}


ONE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "enum": [1, 2]}},
    "required": ["name", "age"],
}


def rewritten():
    schema = copy.deepcopy(ONE)
    schema |= {"title": "T", "$schema": "x", "required": ["age", "name"]}
    schema["properties"] = {"age": {"enum": [2, 1], "type": "int"}, "name": {"$ref": "#/$defs/n"}}
    return schema | {"$defs": {"n": {"type": "str", "description": "of a person"}}}


def test_spelling_makes_no_other_schema():
    assert canonical(rewritten()) == canonical(ONE)
    assert elements(rewritten()) == elements(ONE)
    changed = copy.deepcopy(ONE)
    changed["properties"]["age"]["enum"] = [1, 3]
    assert canonical(changed) != canonical(ONE)


def test_a_renamed_clone_has_the_shape_and_not_the_elements():
    clone = copy.deepcopy(ONE)
    clone["properties"] = {"city": {"type": "string"}, "rank": {"type": "integer", "enum": [1, 2]}}
    clone["required"] = ["city", "rank"]
    assert shape(clone) == shape(ONE) and canonical(clone) != canonical(ONE)
    assert not elements(clone) & elements(ONE)
    clone["properties"]["rank"] = {"type": "boolean"}
    assert shape(clone) != shape(ONE)


@pytest.mark.parametrize(
    "hostile",
    [
        {"properties": {"a": {"$ref": "#"}}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}},
        {"properties": 3, "items": [None, 4], "type": [["x"], None], "anyOf": "no", "required": [{}]},
        {"properties": {str(i): {"type": "string"} for i in range(20_000)}},
        True,
        None,
    ],
    ids=["recursive", "to itself", "doubling", "wrong types", "huge", "true", "null"],
)
def test_what_is_no_good_schema_ends(hostile):
    start = time.monotonic()
    assert len(elements(hostile)) <= 10_000
    assert isinstance(canonical(hostile), str) and isinstance(shape(hostile), str)
    assert time.monotonic() - start < 5
