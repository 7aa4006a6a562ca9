"""Constrained decoding: any model's answers fit the schema, and a model whose answers fit anyway says the same."""

import json
import random
import time

import jsonschema_rs
import pytest
import torch
from llguidance import LLParserLimits
from transformers import AutoTokenizer

from small_models import END, VOCABULARY, item, publish_items, publish_model
from trellis.command import execute
from trellis.evaluate import constrained
from trellis.evaluate.answer import parse
from trellis.evaluate.constrained import Constraint, Grammars


def closed(required=None, **properties):
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


WORD = {"type": "string", "maxLength": 6}
SMALL = {"type": "integer", "minimum": -50, "maximum": 1200}
# Every answer to these is finite: no unbounded string, number, array or object in them.
BOUNDED = {
    "flat": closed(name=WORD, count=SMALL, ready={"type": "boolean"}),
    "nested": closed(a=closed(b=closed(c=WORD), d={"type": "null"})),
    "arrays": closed(rows={"type": "array", "items": closed(x=SMALL), "minItems": 2, "maxItems": 3}),
    "enums": closed(kinds={"type": "array", "items": {"enum": ["red", 7, None]}, "maxItems": 4}, one={"const": "q"}),
    "optional": closed(["a"], a=SMALL, b=WORD, c={"type": "boolean"}),
    "nullable": closed(a={**SMALL, "type": ["integer", "null"]}, b={**WORD, "type": ["string", "null"]}),
    "conditional": closed(pick={"oneOf": [closed(kind={"const": "i"}, v=SMALL), closed(kind={"const": "s"}, v=WORD)]}),
    "any": {"anyOf": [closed(x=SMALL), {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}]},
    "awkward names": closed(**{'a"b': SMALL, "back\\slash": WORD, "caf\u00e9 \U0001f600": WORD, "\n\t": SMALL, "": SMALL}),
    "awkward values": closed(v={"enum": ['"', "\\", "\u2028", "\x1f", "</script>", "\U0001f600", "<|endoftext|>"]}),
    "pattern": closed(code={"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}),
    "formats": closed(day={"type": "string", "format": "date"}, at={"type": "string", "format": "ipv4"}),
    "references": {"$defs": {"w": closed(w=WORD)}, **closed(left={"$ref": "#/$defs/w"}, right={"$ref": "#/$defs/w"})},
    "tuple": {"type": "array", "prefixItems": [SMALL, WORD], "items": False, "minItems": 2},
    "scalar": {"type": "integer", "minimum": 5, "maximum": 7},
}  # fmt: skip
LESSONS = [
    (f"q{n}", text) for n, text in enumerate(['{"n":1,"w":"oak"}', '{"n":22,"w":"elm"}', '{"n":3,"w":"yew"}', "no"])
]
LESSON = closed(n={"type": "integer"}, w={"type": "string"})


@pytest.fixture(scope="module", params=["llama", "gpt_neox"])
def model(request, tmp_path_factory):
    return publish_model(tmp_path_factory.mktemp(request.param) / "random", request.param, context=400)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    return publish_model(tmp_path_factory.mktemp("taught") / "taught", context=400, lessons=LESSONS)


@pytest.fixture
def run(make_spec, tmp_path):
    """run(model, items, name=..., and the keys of generation) -> manifest, {mode: records}."""

    def answer(model, items, name="out", **settings):
        inputs = {"model": [model], "items": [publish_items(tmp_path / f"items-{name}", items)]}
        config = {"generation": {"max_new_tokens": 300, "batch": 8, **settings}, "template": "plain", "base": False}
        manifest = execute(make_spec("evaluate", "generate", name, config, inputs), tmp_path / name)
        modes = {"free": [], "constrained": []}
        for line in (tmp_path / name / "generations.jsonl").open():
            record = json.loads(line)
            modes[record["mode"]].append(record)
        return manifest, modes

    return answer


def fits(schema, output):
    return jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(parse(output))


def test_random_weights_within_bounded_schemas_are_valid_every_time(run, model):
    items = [item(f"{name} {n}", f"{name}{n}", schema) for name, schema in BOUNDED.items() for n in range(4)]
    manifest, made = run(model, items, modes=["constrained"])
    assert len(made["constrained"]) == len(items) and not made["free"]
    for each, record in zip(items, made["constrained"], strict=True):
        assert record["stop"] == "eos" and fits(each["schema"], record["output"]), record
    assert manifest.metrics["modes"] == {
        "constrained": {
            "items": len(items),
            "new_tokens": sum(record["n_out"] for record in made["constrained"]),
            "stopped": {"eos": len(items), "length": 0, "room": 0, "grammar": 0, "grammar_length": 0},
        }
    }
    outputs = {record["output"] for record in made["constrained"]}
    assert len(outputs) > len(BOUNDED), "the schema alone decided"


def test_the_same_model_left_free_writes_no_such_thing(run, model):
    """Otherwise the test above would prove nothing."""
    items = [item(f"{name} {n}", f"{name}{n}", schema) for name, schema in BOUNDED.items() for n in range(2)]
    _, made = run(model, items, modes=["free"], max_new_tokens=40)
    for each, record in zip(items, made["free"], strict=True):
        with pytest.raises(ValueError):
            assert not fits(each["schema"], record["output"])


def test_a_free_answer_of_the_grammar_is_the_constrained_one_token_for_token(run, taught):
    """It must be: a mask takes nothing from the greedy choice while that choice is allowed, and both have the same batch. The
    grammar is narrower than the schema: no white space, and properties in the schema's order."""
    items = [item(f"i{n}", question, LESSON) for n, (question, _) in enumerate(LESSONS)]
    _, made = run(taught, items)
    assert [record["output"] for record in made["free"]] == [answer for _, answer in LESSONS]
    for free, held in zip(made["free"][:3], made["constrained"][:3], strict=True):
        assert held == {**free, "mode": "constrained"}
    assert fits(LESSON, made["constrained"][3]["output"]) != (made["constrained"][3]["stop"] == "length")


def test_the_order_of_properties_is_the_schemas(run, taught):
    turned = closed(w={"type": "string", "maxLength": 5}, n={"type": "integer", "minimum": 0, "maximum": 99})
    _, made = run(taught, [item("i", LESSONS[0][0], turned)])
    assert list(parse(made["free"][0]["output"])) == ["n", "w"]
    assert list(parse(made["constrained"][0]["output"])) == ["w", "n"]


def test_an_answer_cut_at_the_limit_is_no_json_and_is_counted(run, model):
    manifest, made = run(model, [item("i", "x", {"type": "array", "minItems": 1000})], max_new_tokens=20)
    assert made["constrained"][0]["stop"] == "length" and made["constrained"][0]["n_out"] == 20
    assert manifest.metrics["modes"]["constrained"]["stopped"]["length"] == 1


REFUSED = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?=x).y$"}}, "required": ["a"]}


@pytest.mark.parametrize("modes", [["free", "constrained"], ["constrained"]])
def test_where_a_schema_cannot_be_compiled_the_free_answer_stands(run, taught, modes):
    items = [item(f"i{n}", question, REFUSED if n == 1 else LESSON) for n, (question, _) in enumerate(LESSONS[:3])]
    items += [item("long", "y" * 400, LESSON), item("text", LESSONS[3][0])]
    manifest, made = run(taught, items, modes=modes)
    held = {record["id"]: record for record in made["constrained"]}
    assert list(held) == ["i0", "i1", "i2", "long"], "an item without a schema has no constrained answer"
    assert held["i1"]["output"] == LESSONS[1][1] and held["i1"]["stop"] == "grammar"
    assert held["i1"]["n_out"] == len(LESSONS[1][1]) + 1
    assert [held[name]["stop"] for name in ("i0", "i2", "long")] == ["eos", "eos", "room"]
    stopped = manifest.metrics["modes"]["constrained"]["stopped"]
    assert stopped == {"eos": 2, "length": 0, "room": 1, "grammar": 1, "grammar_length": 0}
    assert manifest.metrics["modes"]["constrained"]["items"] == 4
    assert len(made["free"]) == (5 if "free" in modes else 0)


def test_a_free_answer_that_stands_for_a_constrained_one_and_was_cut_off_says_so(run, taught):
    _, made = run(taught, [item("i1", LESSONS[1][0], REFUSED)], max_new_tokens=5)
    assert made["free"][0]["stop"] == "length"
    assert made["constrained"][0] == {**made["free"][0], "mode": "constrained", "stop": "grammar_length"}


def test_where_a_schema_cannot_be_followed_to_the_end_the_free_answer_stands(run, taught, monkeypatch):
    """The lexer may have ten states: enough to begin with."""
    monkeypatch.setattr(constrained, "LIMITS", LLParserLimits(max_lexer_states=10, verbose_errors=False))
    grammars = Grammars(AutoTokenizer.from_pretrained(taught / "model"), VOCABULARY)
    assert grammars.compile(LESSON) is not None
    items = [item(f"i{n}", question, LESSON) for n, (question, _) in enumerate(LESSONS[:3])]
    _, made = run(taught, items)
    for free, held in zip(made["free"], made["constrained"], strict=True):
        assert held == {**free, "mode": "constrained", "stop": "grammar"}


@pytest.fixture(scope="module")
def tokenizer(taught):
    return AutoTokenizer.from_pretrained(taught / "model")


def allowed(constraint, ids):
    """The tokens that stay possible for each row."""
    scores = constraint(torch.tensor(ids), torch.zeros(len(ids), VOCABULARY))
    return [{token for token, score in enumerate(row) if score == 0} for row in scores.tolist()]


def test_the_mask_is_what_may_come_next(tokenizer):
    """No token of no text, no token beyond the tokenizer, and the end only where the answer is complete."""
    grammars = Grammars(tokenizer, VOCABULARY)
    texts = ["[1,2]", "[3]"]
    ids = [tokenizer(text)["input_ids"] for text in texts]
    numbers = {"type": "array", "items": {"enum": [1, 2, 3]}}
    constraint = Constraint([grammars.compile(numbers) for _ in texts], END)
    token = {text: tokenizer.convert_tokens_to_ids(text) for text in "[],123"}
    begin = {token["["]}
    inside, after = {token[digit] for digit in "123"}, {token["]"], token[","]}
    assert allowed(constraint, [[5], [6]]) == [begin, begin]
    assert allowed(constraint, [[token["["]]] * 2) == [inside | {token["]"]}] * 2
    assert allowed(constraint, [[ids[0][1]], [ids[1][1]]]) == [after, after]
    assert allowed(constraint, [[token[","]], [token["]"]]]) == [inside, {END}]
    everything = set(range(VOCABULARY))
    assert allowed(constraint, [[token["2"]], [END]]) == [after, everything], "an ended row is left alone"
    assert allowed(constraint, [[token["]"]], [END]]) == [{END}, everything]
    assert allowed(constraint, [[END], [END]]) == [everything, everything]


def test_an_ended_row_costs_no_mask(tokenizer):
    class Counting:
        def __init__(self, matcher):
            self.matcher, self.masks = matcher, 0

        def compute_bitmask(self):
            self.masks += 1
            return self.matcher.compute_bitmask()

        def consume_token(self, token):
            return self.matcher.consume_token(token)

    grammars = Grammars(tokenizer, VOCABULARY)
    matchers = [Counting(grammars.compile({"type": "integer"})) for _ in range(2)]
    constraint, one = Constraint(matchers, END), tokenizer.convert_tokens_to_ids("1")
    for last in ([5, 5], [one, one], [one, END], [one, END], [END, END], [END, END]):
        constraint(torch.tensor(last)[:, None], torch.zeros(2, VOCABULARY))
    assert [matcher.masks for matcher in matchers] == [4, 2]


def test_a_schema_cannot_ask_for_white_space(tokenizer):
    matcher = Grammars(tokenizer, VOCABULARY).compile({"type": "array", "x-guidance": {"whitespace_flexible": True}})
    matcher.consume_tokens(tokenizer("[1,")["input_ids"])
    assert matcher.validate_tokens(tokenizer(" ")["input_ids"]) == 0
    assert matcher.validate_tokens(tokenizer("2]")["input_ids"]) == 2


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([], 1),
        ([0.01], 1),
        ([5], 5),
        ([0.05, 0.25], 25),
        ([60, 86400], 86400),
        ([86400, 0.5], 864000),
        ([2**31], 2**31),
    ],
)
def test_the_remainders_of_steps_are_those_of_their_common_multiple(steps, found):
    schema = {"anyOf": [closed(a={"type": "number", "multipleOf": step}) for step in steps]}
    assert constrained.remainders(schema) == found


def test_ordinary_steps_are_followed(run, model):
    items = [
        item(f"{step}", "x", {"type": "number", "multipleOf": step, "minimum": 0, "maximum": 200_000})
        for step in (0.01, 0.5, 5, 60, 1024)
    ]
    _, made = run(model, items, modes=["constrained"], max_new_tokens=30)
    for each, record in zip(items, made["constrained"], strict=True):
        assert record["stop"] == "eos" and fits(each["schema"], record["output"]), record


def deep(levels):
    return closed(a=deep(levels - 1)) if levels else {"type": "integer"}


HOSTILE = {
    "counted pattern": {"type": "string", "pattern": "^(a{1,1000}){1,1000}$"},
    "ambiguous pattern": {"type": "string", "pattern": "(x+x+)+y"},
    "wide pattern": {"type": "string", "pattern": "(\\p{L}{1,300}\\p{N}?){1,300}"},
    "far lookback": {"type": "string", "pattern": ".*a.{2000}b.{3000}.*"},
    "longest string": {"type": "string", "minLength": 10**9, "maxLength": 10**10},
    "longest array": {"type": "array", "minItems": 10**9, "maxItems": 10**10},
    "most properties": {"type": "object", "minProperties": 10**7},
    "deep": deep(60),
    "deeper": deep(400),
    "doubled references": {
        "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": True},
        "$ref": "#/$defs/d0",
    },
    "product of choices": {
        "allOf": [{"anyOf": [{"properties": {f"{side}{n}": {"const": 1}}} for side in "ab"]} for n in range(30)]
    },
    "itself": {"$ref": "#"},
    "no schema": {"type": "strin"},
    "anything": True,
    "nothing": False,
    "elsewhere": {"$ref": "http://127.0.0.1:9/schema"},
    "a file": {"$ref": "file:///etc/hostname"},
    "many values": {"enum": [f"value {n}" for n in range(20_000)]},
    "long value": {"enum": ["x" * 10_000]},
    "prime": {"type": "integer", "multipleOf": 982451653},
    "power of two": {"type": "array", "items": {"type": "number", "multipleOf": 2**31}},
    "two primes": {"allOf": [{"type": "integer", "multipleOf": 9973}, {"multipleOf": 9967}]},
    "small steps": {"type": "number", "multipleOf": 1e-300},
    "huge range": {"type": "number", "minimum": 0.1234567890123, "maximum": 1e300},
    "lone surrogate": {"const": "\ud800"},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_costs_little(tokenizer, name):
    """It compiles or does not, and what it then asks for is a mask a step, whatever was chosen before."""
    rng, start = random.Random(0), time.process_time()
    matcher = Grammars(tokenizer, VOCABULARY).compile(HOSTILE[name])
    if matcher is not None:
        constraint, last = Constraint([matcher], END), 5
        for _ in range(100):
            (choices,) = allowed(constraint, [[last]])
            assert choices, "a row has nothing to choose from"
            last = rng.choice(sorted(choices - {END}) or [END])
    assert time.process_time() - start < 5
