"""APIGen rows: both spellings of tools, one or several calls, answers in words, and what does not fit."""

import json

import pytest

from sft_rows import OPENAI, XLAM, convert, offered, spoken
from trellis.sft.tools import read_tools


def apigen(answers, tools=XLAM, query="Where can I moor?"):
    answers = answers if isinstance(answers, str) else json.dumps(answers)
    return convert("apigen", {"id": 7, "query": query, "answers": answers, "tools": json.dumps(tools)})


def test_apigen_annotations_become_json_schema_and_calls_one_spelling():
    calls = [
        {"name": "berths", "arguments": {"lengths": [9.5, 12], "harbour": "Sète"}},
        {"arguments": {"harbour": "Brest", "limit": 1}, "name": "berths"},
    ]
    messages = apigen(calls)
    assert offered(messages) == [
        {
            "name": "berths",
            "description": "Free berths.",
            "parameters": {
                "type": "object",
                "properties": {
                    "harbour": {"type": "string", "description": "Its name."},
                    "lengths": {"type": "array", "items": {"type": "number"}, "description": "In metres."},
                    "tag": {"type": "string", "description": "A mark."},
                    "limit": {"type": "integer", "description": "At most.", "default": 5},
                },
                "required": ["harbour", "lengths"],
            },
        }
    ]
    assert spoken(messages) == [
        ("user", "Where can I moor?"),
        (
            "assistant",
            '[{"name":"berths","arguments":{"harbour":"Sète","lengths":[9.5,12]}},'
            '{"name":"berths","arguments":{"harbour":"Brest","limit":1}}]',
        ),
    ]


@pytest.mark.parametrize(
    "written, schema, optional",
    [
        ("str", {"type": "string"}, False),
        ("bool", {"type": "boolean"}, False),
        ("dict", {"type": "object"}, False),
        ("Dict[str, int]", {"type": "object"}, False),
        ("list", {"type": "array"}, False),
        ("List[List[int]]", {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}, False),
        ("Tuple[int, int]", {"type": "array"}, False),
        ("Union[int, str]", {"anyOf": [{"type": "integer"}, {"type": "string"}]}, False),
        ("Union[int, None]", {"type": "integer"}, True),
        ("Optional[float]", {"type": "number"}, True),
        ("List[str], optional", {"type": "array", "items": {"type": "string"}}, True),
        ("np.ndarray", {}, False),
        ("Callable[[float], float]", {}, False),
        ("any", {}, False),
        ("a date (ISO)", {}, False),
        ("__import__('os').getcwd()", {}, False),
        ("", {}, False),
    ],
)
def test_apigen_types(written, schema, optional):
    (tool,) = read_tools([{"name": "f", "parameters": {"x": {"type": written}}}])
    assert tool["parameters"]["properties"]["x"] == schema
    assert tool["parameters"].get("required", []) == ([] if optional else ["x"])


def test_apigen_also_lists_tools_in_json_schema_and_answers_in_words():
    messages = apigen("None of these tells the weather.", OPENAI)
    assert offered(messages) == [OPENAI[0]["function"]]
    assert spoken(messages)[-1] == ("assistant", "None of these tells the weather.")


def test_apigen_parameters_may_be_called_type_and_properties():
    about = {"description": "A name.", "type": "str"}
    tools = [{"name": "f", "description": "", "parameters": {"type": about, "properties": about}}]
    messages = apigen([{"name": "f", "arguments": {"type": "a", "properties": "b"}}], tools)
    assert list(offered(messages)[0]["parameters"]["properties"]) == ["type", "properties"]


@pytest.mark.parametrize(
    "answers",
    [
        [{"name": "berth", "arguments": {}}],
        [{"name": "berths", "arguments": {"harbour": "Brest", "colour": "red"}}],
        [{"name": "berths", "arguments": ["Brest"]}],
        [{"name": "berths"}],
        ["berths"],
        [],
        "[{",
        '[{"name": "berths", "arguments": {"limit": NaN}}]',
        '[{"name": "berths", "arguments": {"limit": 1e999}}]',
        '[{"name": "berths", "arguments": {"harbour": "\\ud800"}}]',
        '{"berths": "Brest"}',
    ],
)
def test_apigen_calls_that_do_not_fit_the_tools(answers):
    assert apigen(answers) == "bad_call"


@pytest.mark.parametrize(
    "tools",
    [
        [],
        {},
        "berths",
        [XLAM[0], XLAM[0]],
        [{"description": "No name."}],
        [{"name": "f", "parameters": {"x": "str"}}],
        [{"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "colour"}}, "required": "x"}}],
        [{"name": "f", "parameters": {"type": "string"}}],
    ],
)
def test_apigen_tools_that_no_schema_can_say(tools):
    assert apigen("Words.", tools) == "bad_tools"
