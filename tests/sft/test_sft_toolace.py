"""ToolACE rows: calls in Python's spelling with odd names, answers in words, and what does not fit."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_rows import ACE, PREAMBLE, convert, offered, spoken
from trellis.chat import answer_json


def toolace(*turns, tools=ACE):
    roles = {"u": "user", "a": "assistant", "t": "tool", "s": "system"}
    said = [{"from": roles[turn[0]], "value": turn[2:]} for turn in turns]
    return convert("toolace", {"system": PREAMBLE.format(json.dumps(tools)), "conversations": said})


def answered(text):
    messages = toolace("u Tide?", f"a {text}")
    return messages if isinstance(messages, str) else messages[-1]["content"]


def test_toolace_types_become_those_of_json_schema():
    tide, find, _ = offered(toolace("u Tide?", "a Which port?"))
    assert tide["parameters"] == {
        "type": "object",
        "properties": {
            "port": {"type": "string", "description": "A port."},
            "port-id": {"type": "integer"},
            "range": {"type": "array", "items": {"type": "number"}},
            "class": {"type": "object", "properties": {"kind": {}}},
            "exact": {"type": "boolean", "default": False},
        },
        "required": ["port"],
    }
    assert find == {
        "name": "/v1/harbour.find (old)",
        "description": "",
        "parameters": {"type": "object", "properties": {}},
    }


@pytest.mark.parametrize(
    "text, calls",
    [
        ('[Tide Table API(port="Brest")]', [("Tide Table API", {"port": "Brest"})]),
        ("[/v1/harbour.find (old)()]", [("/v1/harbour.find (old)", {})]),
        ("[/v1/harbour.find ()]", [("/v1/harbour.find", {})]),
        (
            "[/v1/harbour.find (old)( ), Tide Table API(exact=True, port='L\\'Orient, (N) [x] = 1')]",
            [("/v1/harbour.find (old)", {}), ("Tide Table API", {"port": "L'Orient, (N) [x] = 1", "exact": True})],
        ),
        (
            'a[ Tide Table API( range = (1, -2.5) , class={"kind": [null, {"a": false}]},port-id=3 ) ]'[1:],
            [("Tide Table API", {"port-id": 3, "range": [1, -2.5], "class": {"kind": [None, {"a": False}]}})],
        ),
        ('[Tide Table API(port="S\\u00e8te \\"old\\"\\n")]', [("Tide Table API", {"port": 'Sète "old"\n'})]),
    ],
)
def test_toolace_calls_with_odd_names_and_nested_arguments(text, calls):
    assert answered(text) == answer_json([{"name": name, "arguments": arguments} for name, arguments in calls])


@pytest.mark.parametrize(
    "text",
    [
        '[Ebb API(port="Brest")]',
        '[Tide Table API(harbour="Brest")]',
        '[Tide Table API(port="Brest"]',
        '[Tide Table API(port="Brest")',
        '[Tide Table API(port="Brest)]',
        '[Tide Table API("Brest")]',
        '[Tide Table API(port="Brest", port="Sète")]',
        '[Tide Table API(port="Brest") Tide Table API(port="Sète")]',
        "[Tide Table API(port=Brest)]",
        "[Tide Table API(port=str(1))]",
        "[Tide Table API(port=__import__('os').system('true'))]",
        "[Tide Table API(port=)]",
        '[Tide Table API(port="Brest")] is what I would call.',
        'I call [Tide Table API(port="Brest")]',
        'Tide Table API(port="Brest")',
        "[no_such_end(a=1",
        "[]",
    ],
)
def test_toolace_calls_that_cannot_be_read_or_do_not_fit(text):
    assert answered(text) == "bad_call"


@pytest.mark.parametrize("text", ["Which port do you mean?", "[Note] Tides (spring) vary.", "None of these (see [1])."])
def test_toolace_answers_in_words_stay_words(text):
    assert answered(text) == text


def test_toolace_results_are_json_and_turns_go_on():
    messages = toolace(
        "u Tide?",
        'a [Tide Table API(port="Brest")]',
        't [{"name": "Tide Table API", "results": {"high": "12:10"}}]',
        "a At 12:10.",
        "u And now?",
        "a [/v1/harbour.find (old)()]",
        "t nothing",
        "a Nothing.",
    )
    assert [role for role, _ in spoken(messages)] == ["user", "assistant", "tool", "assistant"] * 2
    assert spoken(messages)[2][1] == '[{"name":"Tide Table API","results":{"high":"12:10"}}]'
    assert spoken(messages)[6][1] == '["nothing"]'


def test_toolace_without_readable_tools():
    for system in ("No tools.", "[{", "Tools: []", "[" * 5000 + "{", '[{"a":' * 5000):
        turns = [{"from": "user", "value": "a"}, {"from": "assistant", "value": "b"}]
        assert convert("toolace", {"system": system, "conversations": turns}) == "bad_tools"


TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-1e9, 1e9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=9).map(str.strip).filter(bool)


@given(NAMES, st.dictionaries(NAMES.filter(lambda name: not set(name) & set("=)")), VALUES, max_size=3), st.booleans())
@settings(max_examples=200, deadline=None)
def test_whatever_is_written_as_calls_is_read_as_the_same_calls(name, arguments, python):
    parameters = {"type": "dict", "properties": {key: {"type": "any"} for key in arguments}}
    spelt = (f"{key}={repr(value) if python else json.dumps(value)}" for key, value in arguments.items())
    call = f"{name}({', '.join(spelt)})"
    messages = toolace("u Go.", f"a [{call}, {call}]", tools=[{"name": name, "parameters": parameters}])
    wanted = answer_json([{"name": name, "arguments": arguments}] * 2)
    assert messages[-1]["content"] == unicodedata.normalize("NFC", wanted)
