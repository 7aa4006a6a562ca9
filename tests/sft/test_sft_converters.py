"""Plain conversations, and what holds for every converter: no row crashes it, whatever it holds."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_rows import BOAT, GOOD, OPENAI, convert, row_of
from trellis.sft.literals import read_literal

CONVERTERS = tuple(GOOD)


def talk(*turns):
    roles = {"u": "user", "a": "assistant", "s": "system", "t": "tool"}
    messages = [{"role": roles.get(turn[0], turn), "content": turn[2:]} for turn in turns]
    return convert("messages", {"messages": messages, "source": "x"})


def test_messages_are_kept_without_outer_space_and_in_nfc():
    assert talk("s Be brief.\n", "u \n Cafe\u0301?", "a  Oui\n", "u Et toi?", "a Non.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Caf\u00e9?"},
        {"role": "assistant", "content": "Oui"},
        {"role": "user", "content": "Et toi?"},
        {"role": "assistant", "content": "Non."},
    ]


def test_messages_cannot_end_a_turn_whatever_is_taken_out_of_them():
    messages = talk("u a<|endof<|endoftext|>text|>b", "a <|endoftext|>\n\nc")
    assert [message["content"] for message in messages] == ["a<|endof text|>b", "c"]
    assert talk("u a", "a <|endoftext|>") == "empty"


@pytest.mark.parametrize(
    "turns, reason",
    [
        ([], "empty"),
        (["u Hi.", "a  \n"], "empty"),
        (["u Hi."], "bad_order"),
        (["u Hi.", "a Hi.", "u Bye."], "bad_order"),
        (["u Hi.", "u Hi?", "a Hi."], "bad_order"),
        (["a Hi.", "u Hi.", "a Hi."], "bad_order"),
        (["u Hi.", "s Be brief.", "a Hi."], "bad_order"),
        (["u Hi.", "t 3", "a Hi."], "other_role"),
        (["developer", "u Hi.", "a Hi."], "other_role"),
    ],
)
def test_messages_that_are_no_conversation(turns, reason):
    assert talk(*turns) == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
MARKS = [*"[]{}()=,:'\"\\- \n1", "null", "None", "tide", "port"]
TAGS = [f"<{end}{tag}>" for tag in ("tools", "tool_call", "tool_response", "schema") for end in ("", "/")]
WHOLE = [json.dumps(OPENAI), json.dumps(BOAT), '"name"', '"arguments"', "\ud800", "<|endoftext|>"]
PIECES = st.lists(st.sampled_from(MARKS + TAGS + WHOLE), max_size=12).map("".join)
TURNS = st.lists(
    st.fixed_dictionaries(
        {
            "from": st.sampled_from(["system", "human", "gpt", "tool", "user", "assistant"]),
            "value": PIECES | JSON,
            "role": st.sampled_from(["system", "user", "assistant", "tool"]),
            "content": PIECES | JSON,
        }
    ),
    max_size=5,
)
ROWS = JSON | st.fixed_dictionaries(
    {
        **dict.fromkeys(("conversations", "messages"), TURNS | JSON),
        **dict.fromkeys(("system", "query", "answers", "tools"), PIECES | JSON),
    }
)


@pytest.mark.parametrize("converter", CONVERTERS)
@given(row=ROWS)
@settings(max_examples=300, deadline=None)
def test_no_row_crashes_a_converter_and_what_it_gives_can_be_trained_on(converter, row):
    messages = convert(converter, row)
    assert convert(converter, row) == messages
    if isinstance(messages, str):
        assert messages.isidentifier()
        return
    assert {message["role"] for message in messages} <= {"system", "user", "assistant", "tool"}
    assert messages[-1]["role"] == "assistant" and all(message["content"].encode() for message in messages)


@pytest.mark.parametrize("converter", CONVERTERS)
@given(which=st.integers(0, 2), at=st.integers(0, 400), cut=st.integers(0, 9), piece=PIECES)
@settings(max_examples=300, deadline=None)
def test_a_good_row_that_was_damaged_crashes_no_converter(converter, which, at, cut, piece):
    texts = list(GOOD[converter])
    assert isinstance(convert(converter, row_of(converter, *texts)), list)
    at %= len(texts[which])
    texts[which] = texts[which][:at] + piece + texts[which][at + cut :]
    assert isinstance(convert(converter, row_of(converter, *texts)), (list, str))


@pytest.mark.parametrize(
    "text", ["[" * 10**5, "(" * 10**5, "-" * 10**5 + "1", "1+" * 10**5 + "1", '{"a":' * 10**5, "9" * 10**5]
)
@pytest.mark.parametrize("converter", ["apigen", "hermes", "toolace"])
def test_hostile_nesting_is_set_aside(converter, text):
    one, two, _ = GOOD[converter]
    answers = {"hermes": f"<tool_call>{text}</tool_call>", "toolace": f"[Tide Table API(port={text})]"}
    row = row_of(converter, one, two, answers.get(converter, f"[{text}"))
    assert convert(converter, row) == "bad_call"


@pytest.mark.parametrize(
    "text",
    [
        "{1: 2}",
        "{1, 2}",
        "b'x'",
        "1j",
        "...",
        "x",
        "f(1)",
        "1e999",
        "NaN",
        "'\\ud800'",
        "",
        "f'{1}'",
        "[" * 65 + "]" * 65,
    ],
)
def test_what_json_cannot_say_is_no_literal(text):
    with pytest.raises(ValueError):
        read_literal(text)


def test_literals_of_both_languages_are_the_same_values():
    assert read_literal("{'a': (1, None, true), \"b\": 'it\\'s'}") == {"a": [1, None, True], "b": "it's"}
    assert read_literal('"\\u00e8\\/"') == "è/"
