"""Glaive's texts become conversations; what cannot be read is set aside for its reason."""

import json

import pytest

from trellis.sft.converters.glaive import convert
from trellis.tool_calls import INSTRUCTION

PARAMETERS = {"port": {"type": "string"}, "days": {"type": "integer"}}
TIDE = {"name": "tide", "description": "High water.", "parameters": {"type": "object", "properties": PARAMETERS}}
MOON = {"name": "moon", "description": "", "parameters": {"type": "object", "properties": {}}}
WORDS = "SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n"
CHAT = (
    "USER: When is high water at Land's End?\n\n\n"
    """ASSISTANT: <functioncall> {"name": "tide", "arguments": '{"days": 2, "port": "Land\\'s End"}'} <|endoftext|>\n\n\n"""
    'FUNCTION RESPONSE: {"noon": true}\n\n\n'
    "ASSISTANT: At noon: exactly. <|endoftext|>\n\n\nUSER: Thanks\n\n\nASSISTANT: You are welcome. <|endoftext|>"
)


def row(chat=CHAT, functions=(TIDE, MOON), words=WORDS):
    return {"system": words + "\n\n".join(json.dumps(each, indent=4) for each in functions), "chat": chat}


def test_a_conversation_with_two_functions():
    system, *turns = convert(row())
    instruction, tools = system["content"].split("\n")
    assert instruction == INSTRUCTION and [tool["name"] for tool in json.loads(tools)] == ["tide", "moon"]
    assert [(turn["role"], turn["content"]) for turn in turns] == [
        ("user", "When is high water at Land's End?"),
        ("assistant", '[{"name":"tide","arguments":{"port":"Land\'s End","days":2}}]'),
        ("tool", '[{"noon":true}]'),
        ("assistant", "At noon: exactly."),
        ("user", "Thanks"),
        ("assistant", "You are welcome."),
    ]


def test_a_talk_without_functions_has_no_system_turn():
    plain = {
        "system": "SYSTEM: You are a helpful assistant, with no access to external functions.",
        "chat": "USER: Hi\n\n\nASSISTANT: Hello",
    }
    assert convert(plain) == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"system": "x"}, "malformed"),
        (row(functions=["{not json"]) | {"system": WORDS + "{not json"}, "bad_tools"),
        (row(CHAT.replace('"tide", "arg', '"ebb", "arg')), "bad_call"),
        (row(CHAT.replace('"days"', '"weeks"')), "bad_call"),
        (row(CHAT.replace("'}", "}")), "bad_call"),
        (row("USER: Hi\n\n\nUSER: Hi"), "bad_order"),
        (row("nobody speaks"), "bad_order"),
        (row("USER: \n\n\nASSISTANT: Hm"), "empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_set_aside(made, reason):
    assert convert(made) == reason


def test_the_last_turn_must_be_an_answer():
    assert convert(row("USER: Hi")) == "bad_order"
