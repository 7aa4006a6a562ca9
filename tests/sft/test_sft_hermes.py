"""Hermes rows: calls and results in tags over several turns, JSON mode, and what does not fit."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from sft_rows import BOAT, JSON_MODE, OPENAI, SAID, convert, offered, spoken
from trellis.chat import answer_json


def hermes(*turns, system=None, tools=None):
    roles = {"h": "human", "g": "gpt", "t": "tool", "s": "system"}
    system = SAID.format(OPENAI if tools is None else tools) if system is None else system
    said = [{"from": roles[turn[0]], "value": turn[2:]} for turn in turns]
    return convert("hermes", {"id": "x", "conversations": [{"from": "system", "value": system}, *said], "task": None})


def test_hermes_calls_and_results_of_several_turns_in_json_or_python():
    messages = hermes(
        "h Tides at Brest and Sète?",
        "g <tool_call>\n{'arguments': {'days': 2, 'port': \"L'Orient\"}, 'name': 'tide'}\n</tool_call>\n"
        '<tool_call>\n{"name": "tide", "arguments": {"port": "Sète"}}\n</tool_call>\n',
        't <tool_response>\n{"name": "tide", "content": {\'high\': None, "ok": True}}\n</tool_response>\n'
        "<tool_response>\nno tide there\n</tool_response>",
        "g At noon.",
        "h Thanks.",
        "g A pleasure.",
    )
    assert offered(messages) == [OPENAI[0]["function"]]
    assert spoken(messages) == [
        ("user", "Tides at Brest and Sète?"),
        (
            "assistant",
            '[{"name":"tide","arguments":{"port":"L\'Orient","days":2}},{"name":"tide","arguments":{"port":"Sète"}}]',
        ),
        ("tool", '[{"name":"tide","content":{"high":null,"ok":true}},"no tide there"]'),
        ("assistant", "At noon."),
        ("user", "Thanks."),
        ("assistant", "A pleasure."),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        'Let me see.\n<tool_call>{"name": "tide", "arguments": {"port": "Brest"}}</tool_call>',
        '<tool_call>\\n{"name": "tide", "arguments": {"port": "Brest"}}\\n</tool_call>',
        '<tool_call>[{"name": "tide", "arguments": {"port": "Brest"}}]</tool_call>',
    ],
)
def test_hermes_calls_are_found_beside_words_and_written_newlines_and_in_lists(answer):
    messages = hermes("h Tide?", f"g {answer}")
    assert spoken(messages)[-1] == ("assistant", '[{"name":"tide","arguments":{"port":"Brest"}}]')


@pytest.mark.parametrize(
    "answer",
    [
        '<tool_call>{"name": "ebb", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "tide", "arguments": {"harbour": "Brest"}}</tool_call>',
        '<tool_call>{"name": "tide", "arguments": {"port": open("/etc/passwd").read()}}</tool_call>',
        '<tool_call>{"name": "tide", "arguments": {"port": "Brest"}}',
        '<tool_call>{"name": "tide", "arguments": {}}</tool_call> and <tool_call>',
        "<tool_call></tool_call>",
    ],
)
def test_hermes_calls_that_cannot_be_read_or_do_not_fit(answer):
    assert hermes("h Tide?", f"g {answer}") == "bad_call"


def test_hermes_tools_that_cannot_be_read():
    assert hermes("h Tide?", "g No.", tools="[{'name': }]") == "bad_tools"


@pytest.mark.parametrize("schema", [BOAT, json.dumps(BOAT)], ids=["python", "json"])
def test_hermes_json_mode_is_a_schema_task_with_an_answer_in_the_schemas_order(schema):
    answer = '{"hull": {"of": "oak", "length": 9.0}, "name": "Möwe"}'
    system = JSON_MODE.format(schema)
    assert hermes("h The Möwe, of oak, 9 m.", f"g {answer}", system=system) == [
        {"role": "user", "content": f"{answer_json(BOAT)}\nThe Möwe, of oak, 9 m."},
        {"role": "assistant", "content": '{"name":"Möwe","hull":{"length":9.0,"of":"oak"}}'},
    ]


def test_hermes_a_schema_may_stand_in_the_question():
    messages = hermes(f"h The Möwe. <schema>{BOAT}</schema>", 'g {"name": "Möwe"}', system="Answer in JSON.")
    assert messages[0] == {"role": "user", "content": f"{answer_json(BOAT)}\nThe Möwe."}


@pytest.mark.parametrize(
    "answer, schema, reason",
    [
        ("The Möwe.", BOAT, "bad_json"),
        ('{"name": ', BOAT, "bad_json"),
        ('{"name": 3}', BOAT, "schema_invalid"),
        ("{}", BOAT, "schema_invalid"),
        ('"2024-13-01"', {"type": "string", "format": "date"}, "schema_invalid"),
        ("{}", {"type": "boat"}, "bad_schema"),
        ("{}", True, "bad_schema"),
        ("{}", "{", "bad_schema"),
    ],
)
def test_hermes_json_mode_answers_must_fit_their_own_schema(answer, schema, reason):
    assert hermes("h The Möwe.", f"g {answer}", system=JSON_MODE.format(schema)) == reason


def test_hermes_without_tools_or_schema_is_no_task():
    assert hermes("h Hello.", "g Hello.", system="Be kind.") == "bad_schema"
    assert hermes(system=JSON_MODE.format(BOAT)) == "empty"


def test_hermes_schemas_are_not_looked_up_elsewhere():
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        schema = {"$ref": f"http://127.0.0.1:{server.server_port}/boat"}
        assert hermes("h The Möwe.", "g {}", system=JSON_MODE.format(schema)) == "bad_schema"
        server.shutdown()
    assert not asked
