"""The suite function_calling: BFCL's entries as items of our protocol, and shots that are none of them."""

import json
import zipfile
from collections import Counter

import jsonschema
import jsonschema_rs
import pytest

from byte_tokenizer import publish_byte_tokenizer
from publishing import made_in_another_process, publish
from trellis.chat import answer_json
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.evaluate.bfcl import ANY_CALL, CALLS, CATEGORIES, NO_CALL, answer_schema, as_tool
from trellis.evaluate.constrained import Grammars
from trellis.evaluate.prompting import load_tokenizer
from trellis.evaluate.scorers.function_calling import score
from trellis.evaluate.suites.function_calling import NO_TOOL, make_items, make_shots
from trellis.tool_calls import INSTRUCTION

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FUNCTION = {
    "name": "area.of_square",
    "description": "An area.",
    "parameters": {
        "type": "dict",
        "properties": {
            "side": {"type": "float", "description": "Its side.", "default": 1.0, "optional": True},
            "unit": {"type": "string", "enum": ["m", "km"]},
            "corners": {"type": "tuple", "items": {"type": "any"}, "description": "Its corners."},
            "switch": {"type": "boolean", "enum": ["True", "False"]},
        },
        "required": ["side"],
    },
}


def entry(key, *turns, functions=(FUNCTION,)):
    turns = turns or ({"role": "user", "content": f"What is the area in {key}?"},)
    return {"id": key, "question": [list(turns)], "function": list(functions)}


@pytest.fixture
def bfcl(tmp_path):
    """A wheel in the real shape, with five entries a category, the last too long for any context."""
    folder = tmp_path / "bfcl"
    folder.mkdir()
    with zipfile.ZipFile(folder / "bfcl_eval-1-py3-none-any.whl", "w") as archive:
        for category in CATEGORIES:
            entries = [entry(f"{category}_{n}") for n in range(4)]
            entries.append(entry(f"{category}_long", {"role": "user", "content": "long " * 2000}))
            answers = [{"id": each["id"], "ground_truth": [{"area.of_square": {"side": [4.0, 4]}}]} for each in entries]
            archive.writestr(f"bfcl_eval/data/BFCL_v4_{category}.json", "\n".join(map(json.dumps, entries)))
            if category in CALLS:
                name = f"bfcl_eval/data/possible_answer/BFCL_v4_{category}.json"
                archive.writestr(name, "\n".join(map(json.dumps, answers)))
    return publish(folder, "download", "wheel", "bfcl-eval", metrics={"package": "bfcl-eval"})


def pool_of(*schemas):
    return [{"schema_id": f"t-{n}", "stratum": "flat", "schema": schema} for n, schema in enumerate(schemas)]


def asking(**properties):
    spec = {name: {"type": kind} for name, kind in properties.items()}
    return {"type": "object", "properties": spec, "required": list(spec), "additionalProperties": False}


POOL = pool_of(asking(colour="string"), asking(weight="integer", owner="string"), asking(age="integer"))


@pytest.fixture
def order(make_spec, bfcl, tmp_path):
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "training.jsonl").write_text("".join(json.dumps(row) + "\n" for row in POOL))
    tokenizer = publish_byte_tokenizer(tmp_path / "tokens")
    inputs = {"schemas": [publish(pool)], "tokenizer": [tokenizer], "wheels": [bfcl]}

    def build(items, room=2000):
        suite = {"kind": "function_calling", "package": "bfcl-eval", "items": items, "seed": 42}
        config = {"name": "calls", "suite": suite, "text_share": 1.0, "template": "plain", "room": room, "shots": 3}
        config["max_new_tokens"] = 512
        return make_spec("evaluate", "items", "calls", config, inputs)

    return build


def read(made, name):
    return [json.loads(line) for line in made.path(f"{name}.jsonl").read_text().splitlines()]


def test_so_many_of_each_category_and_a_larger_suite_begins_with_the_smaller(order, tmp_path):
    spec = order(2)
    made = execute(spec, tmp_path / "two")
    small, large = read(made, "items"), read(execute(order(None), tmp_path / "all"), "items")
    assert Counter(item["stratum"] for item in small) == dict.fromkeys(CATEGORIES, 2)
    assert Counter(item["stratum"] for item in large) == dict.fromkeys(CATEGORIES, 4), "the long one is left out"
    for category in CATEGORIES:
        of = [[item for item in items if item["stratum"] == category] for items in (small, large)]
        assert of[0] == of[1][:2]
    assert [item["id"] for item in large if item["stratum"] == "multiple"] != [f"calls-multiple_{n}" for n in range(4)]
    assert made_in_another_process(spec, tmp_path / "other", "7") == {file.path: file.sha256 for file in made.files}
    assert made.metrics["splits"] == {"unseen": {"items": 22, "clusters": 1, "with_gold": 16}}
    assert made.metrics["baselines"] == {"the first tool without arguments": 0.0}
    with pytest.raises(
        TrellisError, match=r"evaluation\.suites\.calls: of its items 0 have a prompt of at most 50 tokens"
    ):
        execute(order(2, room=50), tmp_path / "none")


def test_a_function_becomes_a_tool_with_every_word_of_its_author():
    tool = as_tool(FUNCTION)
    jsonschema.Draft202012Validator.check_schema(tool["parameters"])
    assert (tool["name"], tool["description"]) == ("area.of_square", "An area.")
    assert tool["parameters"] == {
        "type": "object",
        "properties": {
            "side": {"type": "number", "description": "Its side.", "default": 1.0},
            "unit": {"type": "string", "enum": ["m", "km"]},
            "corners": {"type": "array", "items": {"type": "string"}, "description": "Its corners."},
            "switch": {"type": "boolean", "enum": ["True", "False"]},
        },
        "required": ["side"],
    }


@pytest.mark.parametrize(
    ("answer", "fits"),
    [
        ([{"name": "area.of_square", "arguments": {"side": 4}}], True),
        ([{"name": "area.of_square", "arguments": {"side": 4}}] * 3, True),
        # BFCL's choice of texts for a boolean would leave it no value at all.
        ([{"name": "area.of_square", "arguments": {"side": 4, "switch": True}}], True),
        ([{"name": "area.of_square", "arguments": {"side": 4, "unit": "inch"}}], False),
        ([{"name": "area.of_square", "arguments": {"side": 4, "height": 4}}], False),
        ([{"name": "area.of_square", "arguments": {}}], False),
        ([{"name": "area_of_square", "arguments": {"side": 4}}], False),
        ([{"name": "area.of_square", "arguments": {"side": 4}, "id": 1}], False),
        ({"name": "area.of_square", "arguments": {"side": 4}}, False),
        ([], False),
    ],
)
def test_the_schema_of_an_answer(answer, fits):
    schema = answer_schema([as_tool(FUNCTION)])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(answer) == fits
    assert "description" not in json.dumps(schema) and "default" not in json.dumps(schema)


def test_shots_call_once_not_at_all_and_twice_and_are_made_of_training_schemas():
    shots = make_shots(POOL, 4, seed=42)
    assert make_shots(POOL, 2, seed=42) == shots[:2]
    answers = [shot["answer"] for shot in shots]
    assert answers[1] == NO_TOOL and [len(json.loads(answers[n])) for n in (0, 2, 3)] == [1, 2, 1]
    for place, shot in enumerate(shots):
        system, user = shot["messages"]
        instruction, tools = system["content"].split("\n")
        (tool,) = json.loads(tools)
        assert instruction == INSTRUCTION
        asked = user["content"].split(":")[0]
        assert (asked == tool["description"]) == (place != 1), "the one in words is asked for what its tool does not do"
        for call in json.loads(shot["answer"]) if place != 1 else ():
            assert call["name"] == tool["name"]
            jsonschema.validate(call["arguments"], tool["parameters"])
            assert all(f"{value}" in user["content"] for value in call["arguments"].values())


@pytest.fixture(scope="module")
def items(wheel):
    return [item for name in CATEGORIES for item in make_items(wheel("bfcl-eval"), name, "function-calling", 42)]


# Entries none of whose acceptable values fits the function's own schema: a variable for an array, a value that is not among
# the choices, a text for a number, a parameter that the function has not, or no acceptable value at all.
WITHOUT_GOLD = {
    *("parallel_multiple_21", "parallel_multiple_94", "live_simple_106-63-0", "live_simple_112-68-0"),
    *("live_multiple_87-38-4", "live_multiple_189-83-0", "live_multiple_552-153-1", "live_multiple_595-158-1"),
    *("live_multiple_596-158-2", "live_multiple_731-167-2", "live_multiple_733-167-4", "live_multiple_735-167-6"),
    *("live_multiple_750-169-5", "live_multiple_756-169-11", "live_multiple_835-178-10", "live_multiple_862-181-3"),
    *("live_multiple_871-182-8", "live_multiple_947-197-0", "live_multiple_964-207-0", "live_multiple_1038-265-0"),
    "live_parallel_multiple_2-2-0",
}


@pytest.mark.wheels
def test_the_wheel_gives_the_counted_items(items):
    counts = Counter(item["stratum"] for item in items)
    assert counts == {
        **{"simple_python": 400, "multiple": 200, "parallel": 200, "parallel_multiple": 200, "irrelevance": 240},
        **{"live_simple": 258, "live_multiple": 1053, "live_parallel": 16, "live_parallel_multiple": 24},
        **{"live_irrelevance": 884, "live_relevance": 16},
    }
    clusters = {name: len({item["cluster"] for item in items if item["stratum"] == name}) for name in counts}
    assert (clusters["live_simple"], clusters["live_multiple"], clusters["live_irrelevance"]) == (154, 351, 396)
    assert len({item["id"] for item in items}) == len(items) and {item["split"] for item in items} == {"unseen"}
    missing = {item["id"] for item in items if item["stratum"] in CALLS and item["gold"] is None}
    assert missing == {f"function-calling-{key}" for key in WITHOUT_GOLD}
    for item in items:
        assert (item["schema"] is None) == (item["stratum"] in NO_CALL) == (item["check"]["answers"] == [])
        assert (item["check"]["answers"] is None) == (item["stratum"] in ANY_CALL)


@pytest.mark.wheels
def test_every_gold_of_the_wheel_is_right_by_every_metric(items):
    """Fits its schema, calls in the spelling that is trained, and passes BFCL's check."""
    for item in items:
        if item["gold"] is not None:
            assert item["answer"] == answer_json(item["gold"])
            assert set(score(item, item["answer"]).values()) == {1.0}, item["id"]
        elif item["stratum"] in CALLS:
            assert score(item, "[]")["ast"] == 0.0


@pytest.mark.wheels
def test_prompts_of_the_wheel_hold_the_tools_and_the_question_in_one_turn_each(items):
    with_system, offered = 0, {}
    for item in items:
        system, *others = item["messages"]
        instruction, tools, *more = system["content"].split("\n", 2)
        assert (system["role"], instruction) == ("system", INSTRUCTION)
        assert all(turn["role"] in ("user", "assistant") for turn in others) and others[-1]["role"] == "user"
        with_system += bool(more)
        offered |= {answer_json(tool): tool for tool in json.loads(tools)}
    assert with_system == 92 and len(offered) > 3_000
    for tool in offered.values():
        assert tool.keys() == {"name", "description", "parameters"}
        assert jsonschema_rs.meta.is_valid({"$schema": DRAFT, **tool["parameters"]}), tool["name"]
    assert sum("." in tool["name"] for tool in offered.values()) > 500


@pytest.mark.wheels
def test_a_grammar_holds_answers_to_the_schemas_and_lets_every_gold_through(items, tmp_path):
    tokenizer = load_tokenizer(publish_byte_tokenizer(tmp_path) / "tokenizer", "plain")
    grammars = Grammars(tokenizer, len(tokenizer))
    for item in items[::5]:
        if item["gold"] is not None:
            matcher, ids = grammars.compile(item["schema"]), tokenizer(item["answer"])["input_ids"]
            assert matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting(), item["id"]
