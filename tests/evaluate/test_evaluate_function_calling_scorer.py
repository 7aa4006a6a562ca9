"""Scores of calls: what counts as calling, as right, and as nothing; hostile output; balanced accuracy."""

import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trellis.evaluate import METRICS, calls
from trellis.evaluate.bfcl import answer_schema, as_tool
from trellis.evaluate.score_tables import BALANCED, Key, Scores
from trellis.evaluate.scorers.function_calling import score

BOOK = {
    "name": "book.table",
    "description": "Books a table.",
    "parameters": {
        "type": "dict",
        "properties": {
            "where": {"type": "string"},
            "guests": {"type": "integer"},
            "price": {"type": "float"},
            "dishes": {"type": "array", "items": {"type": "string"}},
            "host": {"type": "dict", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}},
        },
        "required": ["where"],
    },
}
BELL = {"name": "ring", "description": "Rings.", "parameters": {"type": "dict", "properties": {}, "required": []}}
TOOLS = [as_tool(BOOK), as_tool(BELL)]
ACCEPTED = {
    "where": ["Café d'Or", "Cafe d'Or"],
    "guests": [2, ""],
    "price": [9.5, 9.0, ""],
    "dishes": [["Soup", "Fish"], ""],
}
ACCEPTED |= {"host": [{"name": ["Ann"], "age": [30, ""]}, ""]}
GOLD = [{"name": "book.table", "arguments": {"where": "Café d'Or"}}, {"name": "ring", "arguments": {}}]
ANSWERS = [{"book.table": ACCEPTED}, {"ring": {}}]


def item(answers=ANSWERS, gold=GOLD):
    signatures = {each["name"]: calls.signature(each) for each in (BOOK, BELL)}
    schema = None if answers == [] else answer_schema(TOOLS)
    return {"gold": gold, "schema": schema, "check": {"answers": answers, "functions": signatures}}


IRRELEVANT, RELEVANT = item([], None), item(None, None)


def book(**arguments):
    return {"name": "book.table", "arguments": {"where": "Café d'Or", **arguments}}


RING = {"name": "ring", "arguments": {}}


def test_the_gold_is_right_by_every_metric():
    found = score(item(), json.dumps(GOLD))
    assert found.keys() == set(METRICS) - {"execution", "truncated", "nll_per_byte"}
    assert set(found.values()) == {1.0}


@pytest.mark.parametrize(
    ("made", "right"),
    [
        ([RING, book()], True),  # in any order
        ([book(where="cafe D'OR."), RING], True),  # acceptable but for case and marks
        ([book(where="Cafe de l'Or"), RING], False),
        ([book(guests=2), RING], True),
        ([book(guests=2.0), RING], False),
        ([book(guests=True), RING], False),
        ([book(guests="2"), RING], False),
        ([book(price=9), RING], True),  # an integer for a float
        ([book(price=10**400), RING], False),
        ([book(dishes=["soup", "FISH"]), RING], True),
        ([book(dishes=["Fish", "Soup"]), RING], False),
        ([book(dishes=["Soup"]), RING], False),
        ([book(host={"name": "ann", "age": 30}), RING], True),
        ([book(host={"name": "Ann"}), RING], True),
        ([book(host={"age": 30}), RING], False),
        ([book(host={"name": "Ann", "shoe": 40}), RING], False),
        ([book(host=None), RING], False),
        ([book(unheard_of=1), RING], False),
        ([{"name": "book.table", "arguments": {"guests": 2}}, RING], False),  # a required one is missing
        ([book()], False),
        ([book(), RING, RING], False),
        ([book(), book()], False),
    ],
)
def test_what_is_acceptable(made, right):
    found = score(item(), json.dumps(made))
    assert found["ast"] == right and found["called"] == 1.0
    assert found["exact"] == float(made == GOLD)


def test_names_are_judged_apart_from_arguments():
    assert score(item(), json.dumps([RING, book(guests=99)]))["name_accuracy"] == 1.0
    assert score(item(), json.dumps([book(), RING, RING]))["name_accuracy"] == 0.0
    assert score(item(), json.dumps([book()]))["name_accuracy"] == 0.0


WORDS = [
    "I cannot book that.",
    "",
    "[]",
    "{}",
    "null",
    json.dumps(GOLD[0]),
    "I would call " + json.dumps(GOLD),
    f"```json\n{json.dumps(GOLD)}\n```",
    '[{"name":"ring"}]',
    '[{"name":"ring","arguments":[]}]',
    '[{"name":1,"arguments":{}}]',
    '[{"name":"ring","arguments":{},"id":1}]',
    '[{"name":"ring","arguments":{}},3]',
    '[{"name":"ring","arguments":{},"arguments":{}}]',
    '[{"name":"ring","arguments":{"x":NaN}}]',
]


@pytest.mark.parametrize("output", WORDS)
def test_what_is_no_array_of_calls_is_words(output):
    found = score(item(), output)
    assert (found["called"], found["ast"], found["name_accuracy"], found["exact"]) == (0.0, 0.0, 0.0, 0.0)
    assert score(IRRELEVANT, output) == {"called": 0.0}
    assert score(RELEVANT, output)["ast"] == 0.0


def test_any_call_is_a_call_where_none_or_any_is_asked_for():
    """Also to tools that are not offered, as in BFCL."""
    for made in ([RING], [{"name": "unheard_of", "arguments": {}}]):
        assert score(IRRELEVANT, json.dumps(made)) == {"called": 1.0}
        found = score(RELEVANT, json.dumps(made))
        assert found["ast"] == found["called"] == 1.0 and "name_accuracy" not in found and found["exact"] is None
        assert found["schema_valid"] == float(made == [RING])


HOSTILE = {
    "a megabyte without end": '[{"name":"book.table","arguments":{"where":"' + "x" * 2**20,
    "a megabyte of punctuation": json.dumps([book(where="-" * 90_000), RING]),
    "deep nesting": json.dumps([RING])[:-1] + "," + "[" * 200_000,
    "deep but closed": '[{"name":"ring","arguments":{"x":' + "[" * 5_000 + "]" * 5_000 + "}}]",
    "many calls": json.dumps([RING] * 3_000),
    "many arguments": json.dumps([book(**{f"x{n}": n for n in range(5_000)}), RING]),
    "a huge integer": '[{"name":"book.table","arguments":{"where":"a","price":' + "9" * 4_000 + "}}]",
    "no UTF-8": '[{"name":"ring\\ud800","arguments":{}}]',
    "duplicate keys": '[{"name":"ring","name":"ring","arguments":{}}]',
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_output_is_a_failure_at_once(what):
    start = time.monotonic()
    found = score(item(), HOSTILE[what])
    assert time.monotonic() - start < 1
    assert found["ast"] == found["exact"] == 0.0
    assert set(score(IRRELEVANT, HOSTILE[what])) == {"called"}


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
VALUES = st.recursive(SCALARS, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=3))
ARGUMENTS = st.dictionaries(st.sampled_from([*BOOK["parameters"]["properties"], "x"]), VALUES, max_size=4)
CALL = st.fixed_dictionaries({"name": st.sampled_from(["book.table", "ring", "x"]), "arguments": ARGUMENTS})


@given(st.lists(CALL | VALUES, max_size=3).map(json.dumps) | st.text())
def test_whatever_the_output_every_score_is_a_share(output):
    for each in (item(), IRRELEVANT, RELEVANT):
        assert all(value is None or 0 <= value <= 1 for value in score(each, output).values())


@pytest.mark.parametrize(
    ("answerable", "irrelevant", "balanced"),
    [("calls", "words", 1.0), ("calls", "calls", 0.5), ("words", "words", 0.5), ("words", "calls", 0.0)],
)
def test_never_and_always_calling_are_worth_the_same(answerable, irrelevant, balanced):
    """Through the statistics' own reading of the scores, over unequal numbers of answerable and irrelevant items."""
    outputs = {"calls": json.dumps(GOLD), "words": "No."}
    scores = [score(each, outputs[answerable]) for each in [item()] * 4 + [RELEVANT]]
    scores += [score(IRRELEVANT, outputs[irrelevant])] * 15
    values = {
        Key("m", "tuned", "free", metric): np.array([[each.get(metric, np.nan) for each in scores]], dtype=float)
        for metric in ("ast", "called")
    }
    everything = np.ones(len(scores), dtype=bool)
    clusters = np.array([str(place) for place in range(len(scores))])
    part = Scores("function-calling", clusters, np.full(len(scores), np.nan), {"all": everything}, values).part(
        everything
    )
    assert np.nanmean(part.values[Key("m", "tuned", "free", BALANCED)]) == pytest.approx(balanced)
    assert np.nanmean(part.values[Key("m", "tuned", "free", "ast")]) == float(answerable == "calls")
