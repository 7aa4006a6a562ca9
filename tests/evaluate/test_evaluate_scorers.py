"""Scorers of JSON: each answer gets what it deserves, and whatever a model writes is scored, never a crash."""

import contextlib
import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trellis.evaluate import answer
from trellis.evaluate.scorers import extraction, format, json_schema, schema
from trellis.evaluate.validator import validator

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "day": {"type": "string", "format": "date"}},
    "required": ["a", "day"],
    "additionalProperties": False,
}
GOLD = {"a": 3, "day": "2024-02-29"}
NAMES = ("parse", "parse_lenient", "schema_valid", "exact", "leaf_f1", "key_f1", "type_accuracy")


def item(gold=GOLD, schema=SCHEMA, check=None):
    return {"id": "x", "schema": schema, "gold": gold, "check": check}


def scored(output, gold=GOLD, schema_=SCHEMA):
    found = schema.score(item(gold, schema_), output)
    assert set(found) == set(NAMES)
    return tuple(found[name] for name in NAMES)


THIRD = pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (json.dumps(GOLD), (1, 1, 1, 1, 1, 1, 1)),
        ('{"day": "2024-02-29", "a": 3.0}\n', (1, 1, 1, 1, 1, 1, 1)),
        ('{"a":4,"day":"2024-02-29"}', (1, 1, 1, 0, 0.5, 1, 1)),
        ('{"a":3,"day":"2023-02-29"}', (1, 1, 0, 0, 0.5, 1, 1)),  # no such day
        ('{"a":"3","day":"2024-02-29"}', (1, 1, 0, 0, 0.5, 1, 0.5)),
        ('{"a":3}', (1, 1, 0, 0, THIRD, THIRD, 0.5)),
        ('{"a":3,"day":"2024-02-29","x":1}', (1, 1, 0, 0, 0.8, 0.8, 1)),
        ("{}", (1, 1, 0, 0, 0, 0, 0)),
        ("3", (1, 1, 0, 0, 0, 0, 0)),
        ("null", (1, 1, 0, 0, 0, 0, 0)),
        ("", (0, 0, 0, 0, 0, 0, 0)),
        (json.dumps(GOLD) + " and more", (0, 1, 0, 0, 0, 0, 0)),
        (f"```json\n{json.dumps(GOLD)}\n```", (0, 1, 0, 0, 0, 0, 0)),
        ('{"a":3,', (0, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_each_answer_gets_what_it_deserves(output, expected):
    assert scored(output) == expected


def test_without_gold_only_the_form_is_judged():
    assert scored('{"a":9,"day":"2020-01-01"}', gold=None) == (1, 1, 1, None, None, 1, None)
    assert scored("{}", gold=None) == (1, 1, 0, None, None, 0, None)
    assert scored("nonsense", gold=None) == (0, 0, 0, None, None, 0, None)


def test_without_gold_what_may_be_there_counts_neither_way():
    loose = {"properties": {"a": {}, "b": {}}, "required": ["a"]}
    keys = [scored(text, None, loose)[5] for text in ('{"a":1}', '{"a":1,"b":2}', '{"b":2}', '{"a":1,"c":2}', "[]")]
    assert keys == [1, 1, 0, THIRD, 0]


def test_keys_are_null_where_the_item_asks_for_none():
    """Whatever the output: a null that depends on it would take answers out of the denominator."""
    assert {scored(text, None, {"type": "array"})[5] for text in ("[]", "{", '{"a":1}', "")} == {None}


def test_a_right_value_that_breaks_the_schema_is_not_exact():
    assert scored('{"a":3}', {"a": 3}, {"maxProperties": 0})[2:5] == (0, 0, 1)


@pytest.mark.parametrize("scorer", [extraction, json_schema])
def test_the_other_suites_of_json_are_judged_alike(scorer):
    assert scorer.score is schema.score


def test_the_draft_is_that_of_the_schema_else_2020_12():
    tuple_of = {"items": [{"type": "integer"}], "type": "array"}
    draft7 = {"$schema": "http://json-schema.org/draft-07/schema#", **tuple_of}
    assert scored('["a"]', None, draft7)[2] == 0
    assert scored('["a"]', None, {"prefixItems": [{"type": "integer"}]})[2] == 0
    assert scored('["a"]', None, {**draft7, "items": {}, "prefixItems": [{"type": "integer"}]})[2] == 1


SECONDS = 2
# Of Python's memory beyond the output itself. The costliest of what is read, 49,000 items, takes 5 MB; of "a million
# items", read, the values and their leaves would take 100 MB.
BYTES = 16_000_000
HOSTILE = {
    "a megabyte without end": '{"a":' + "1" * 2**20,
    "a megabyte of text": "word " * 2**18,
    "100,000 nested arrays": "[" * 100_000,
    "closed ones": "[" * 100_000 + "]" * 100_000,
    "nested objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "NaN": '{"a":NaN,"day":"2024-02-29"}',
    "infinity": '{"a":Infinity,"day":"2024-02-29"}',
    "1e999": '{"a":1e999,"day":"2024-02-29"}',
    "-1e999": '{"a":-1e999,"day":"2024-02-29"}',
    "10**100000": '{"a":1' + "0" * 100_000 + ',"day":"2024-02-29"}',
    "10**5000": '{"a":1' + "0" * 5_000 + ',"day":"2024-02-29"}',
    "duplicate keys": '{"a":4,"a":3,"day":"2024-02-29"}',
    "escaped duplicate keys": '{"\\u0061":4,"a":3,"day":"2024-02-29"}',
    "a lone surrogate": '{"a":3,"day":"2024-02-29\ud800"}',
    "an escaped lone surrogate": '{"a":3,"day":"2024-02-29\\udfff"}',
    "NUL": '{"a":3,"day":"2024-02-29"}\x00',
    "byte order mark": '\ufeff{"a":3,"day":"2024-02-29"}',
    "no-break space": '\u00a0{"a":3,"day":"2024-02-29"}',
    "full-width digits": '{"a":\uff13,"day":"2024-02-29"}',
    "ten million letters": '"' + "\u00e9" * 10_000_000 + '"',
    "a million items": "[" + ",".join("1" * 1_000_000) + "]",
    "a million keys": "{" + ",".join(f'"{i}":1' for i in range(1_000_000)) + "}",
    "comments": '{"a":3/* three */,"day":"2024-02-29"}',
}


@contextlib.contextmanager
def peak():
    """Yields a list that holds, after the block, the most bytes that Python had allocated within it at once."""
    found = []
    tracemalloc.start()
    try:
        yield found
        found.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_output_is_a_failure_in_bounded_time(attack):
    start = time.process_time()
    found = schema.score(item(), HOSTILE[attack])
    assert time.process_time() - start < SECONDS
    assert found["parse"] == found["schema_valid"] == found["exact"] == found["leaf_f1"] == 0


@pytest.mark.parametrize("gold", [GOLD, None], ids=["gold", "no gold"])
@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_output_is_scored_in_bounded_memory(attack, gold):
    with peak() as most:
        schema.score(item(gold), HOSTILE[attack])
    assert most[0] < BYTES


def test_the_bound_on_memory_is_passed_where_an_output_of_any_length_is_read(monkeypatch):
    monkeypatch.setattr(answer, "MAX_LENGTH", 10**9)
    with peak() as most:
        schema.score(item(), HOSTILE["ten million letters"])
    assert most[0] > 2 * BYTES


# The kernel refuses the scoring process more than 64 MB beyond what it has after its imports.
SCORED_WITHIN = """
import resource, sys
sys.path[:0] = sys.argv[2:]
from test_evaluate_scorers import HOSTILE, LARGE, answer, item, schema
answer.MAX_LENGTH = int(sys.argv[1])
schema.score(item(), "{}")
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 64_000_000
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for output in (*HOSTILE.values(), *LARGE):
    for gold in ({}, None):
        schema.score(item(gold), output)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no Linux to ask for a process's size")
@pytest.mark.parametrize(("longest", "fails"), [(answer.MAX_LENGTH, False), (10_000_002, True)])
def test_a_process_of_bounded_memory_scores_hostile_output_unless_it_reads_outputs_of_any_length(longest, fails):
    """The validator's own memory included, which tracemalloc does not see."""
    folders = [str(Path(__file__).parent), str(Path(answer.__file__).parents[2])]
    made = subprocess.run([sys.executable, "-c", SCORED_WITHIN, str(longest), *folders], capture_output=True, text=True)
    assert (made.returncode != 0) == fails, made.stderr
    assert ("MemoryError" in made.stderr) == fails


LARGE = [
    "[" + ",".join(["1"] * 49_000) + "]",
    "[" + ",".join(f'"{index}"' for index in range(12_000)) + "]",
    "{" + ",".join(f'"{index}":{{}}' for index in range(9_000)) + "}",
    "[" * 64 + "]" * 64,
    '{"a":' * 64 + "1" + "}" * 64,
    '{"a":' + "9" * 4_300 + "}",
    '{"a":1e-999}',
    '{"a":"' + "\u0041\u030a" * 30_000 + '"}',
    '{"__proto__":{"a":3},"constructor":1}',
    '{"a":"\u202e\u200b\\ud83d\\ude00"}',
]


@pytest.mark.parametrize("output", LARGE, ids=range(10))
def test_valid_json_of_any_size_that_is_read_is_judged_in_bounded_time_and_memory(output):
    start = time.process_time()
    found = schema.score(item(), output)
    assert time.process_time() - start < SECONDS
    assert found["parse"] == 1 and found["exact"] == 0
    with peak() as most:
        schema.score(item(), output)
    assert most[0] < BYTES


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(?=a)(a+)+$", r"^(a|aa)+\1$", "(.*)*x", "^(a|a)*$(?<!b)", "(a?){64}a{64}(?=c)"]
)
def test_patterns_of_schemas_do_not_explode(pattern):
    bomb = {"type": "array", "items": {"pattern": pattern}, "additionalProperties": {"pattern": pattern}}
    for text in ("a" * 64 + "!", "a" * 30_000 + "!"):
        start = time.process_time()
        schema.score(item(None, bomb), json.dumps([text] * min(1_000, 90_000 // len(text))))
        assert time.process_time() - start < SECONDS


FORMATS = ("date", "time", "date-time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6")
FORMATS += ("uri", "uri-reference", "iri", "iri-reference", "uri-template", "uuid", "regex")
FORMATS += ("json-pointer", "relative-json-pointer")


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_checked_in_bounded_time(name):
    checks = validator({"format": name})
    for text in (
        "a" * 90_000,
        "a." * 45_000,
        "1:" * 45_000,
        "(" * 90_000,
        "%{" * 45_000,
        "xn--" * 22_000,
        "ü" * 90_000,
    ):
        start = time.process_time()
        checks.is_valid(text)
        assert time.process_time() - start < 1


ANYTHING = st.text(st.characters(), max_size=60) | st.text('[]{}":,0123eE+-.tfn\\u \n`', max_size=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "day", "b"]), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=400)
@given(ANYTHING | VALUES.map(json.dumps) | VALUES.map(lambda value: f"```\n{json.dumps(value)}\n``` x"))
def test_any_output_is_scored(output):
    for gold in (GOLD, None):
        found = schema.score(item(gold), output)
        assert all(value is None or 0 <= value <= 1 for value in found.values())
        assert found["parse"] <= found["parse_lenient"] and found["schema_valid"] <= found["parse"]
        if gold is not None:
            assert found["exact"] <= min(found["schema_valid"], found["leaf_f1"], found["key_f1"])


@settings(max_examples=300)
@given(ANYTHING | st.text("<>/&;!?[]-#:{}=,\"' \nab1.", max_size=60), st.sampled_from(["yaml", "toml", "xml", "csv"]))
def test_any_output_in_a_format_is_scored(output, form):
    found = format.score(item({"a": 1}, None, {"format": form}), output)
    assert all(0 <= value <= 1 for value in found.values()) and found["parse"] <= found["parse_lenient"]
