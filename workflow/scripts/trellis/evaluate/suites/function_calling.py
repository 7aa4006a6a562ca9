"""BFCL's single-turn questions through our JSON protocol; figures of this suite are none of BFCL's leaderboard.

The first `items` of each category that fit, in the order of a seeded hash; the category is the stratum, and entries with the
same functions are one cluster. `check` is {answers, functions}, as `calls` reads them: `answers` is [] where no tool helps,
and null where any call will do.

A question that no tool answers has no schema: words are right there, so that no grammar holds an answer to it, and whether a
model knows when to call is measured in free mode only. Where no acceptable value fits its own parameter's schema (a variable
for a number, a value that is not among the choices), the item has no gold, and the check alone judges.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trellis.address import digest
from trellis.evaluate import calls
from trellis.evaluate.bfcl import (
    CALLS,
    CATEGORIES,
    NO_CALL,
    answer_schema,
    as_tool,
    closed,
    read_answers,
    read_entries,
)
from trellis.evaluate.suites import Built
from trellis.evaluate.validator import validator
from trellis.experiment.evaluation import FunctionCallingSuite
from trellis.records import read_records
from trellis.schema_tasks import seeded
from trellis.schema_tasks.text import state
from trellis.schema_tasks.values import Values
from trellis.spec import Spec
from trellis.tool_calls import calls_json, in_order, system_turn

# How many schemas of the training side the shots are chosen from, and how many calls each makes in turn.
CHOICES = 64
CALLS_IN_TURN = (1, 0, 2)
NO_TOOL = "None of the tools can do that."


def build(suite: FunctionCallingSuite, name: str, spec: Spec) -> Built:
    """All items of all categories, category by category."""
    wheel = next(iter(spec.input("wheels").paths("")))
    items = [item for category in CATEGORIES for item in make_items(wheel, category, name, suite.seed)]
    training = list(read_records(spec.input("schemas").path("training.jsonl")))
    shots = make_shots(training, spec.config["shots"], suite.seed)
    return Built(items, shots, of_each=suite.items, baselines=baselines(items))


def make_items(wheel: Path, category: str, suite: str, seed: int) -> Iterator[dict[str, Any]]:
    """The items of a category, in the order of a hash of seed and id."""
    entries = sorted(read_entries(wheel, category), key=lambda entry: seeded(seed, entry["id"]).random())
    answers = read_answers(wheel, category) if category in CALLS else {}
    for entry in entries:
        tools = [as_tool(function) for function in entry["function"]]
        right = answers[entry["id"]] if category in CALLS else [] if category in NO_CALL else None
        named = {name for answer in right or () for name in answer}
        signatures = {each["name"]: calls.signature(each) for each in entry["function"] if each["name"] in named}
        gold = gold_calls(tools, right, signatures) if right else None
        cluster = digest(sorted(map(digest, entry["function"])))[:16]
        yield {
            "id": f"{suite}-{entry['id']}",
            "suite": suite,
            "kind": "function_calling",
            "split": "unseen",
            "stratum": category,
            "cluster": cluster,
            "schema_id": cluster,
            "schema": None if category in NO_CALL else answer_schema(tools),
            "messages": messages(tools, entry["question"][0]),
            "gold": gold,
            "answer": calls_json(gold, tools) if gold else None,
            "check": {"answers": right, "functions": signatures},
        }


def messages(tools: list[dict[str, Any]], question: list[dict[str, str]]) -> list[dict[str, str]]:
    """The tools before the question; what a question has for the system stands behind them, for one turn is the system's."""
    system = system_turn(tools)
    if question[0]["role"] == "system":
        first, *question = question
        system["content"] += f"\n{first['content']}"
    return [system, *({"role": turn["role"], "content": turn["content"]} for turn in question)]


def gold_calls(
    tools: list[dict[str, Any]], answers: list[dict[str, Any]], signatures: dict[str, Any]
) -> list[dict[str, Any]] | None:
    """The answers as calls: of each parameter the first acceptable value that fits its schema, none where it may be left
    out. None where that is no right answer within the tools' schemas."""
    parameters = {tool["name"]: closed(tool["parameters"]) for tool in tools}
    made = []
    for answer in answers:
        ((name, accepted),) = answer.items()
        schema, arguments = parameters[name], {}
        for parameter, values in accepted.items():
            if calls.NONE in values and parameter not in schema["required"]:
                continue
            fits = validator(schema["properties"].get(parameter, False)).is_valid
            choices = [example(value) for value in sorted(values, key=lambda value: value == calls.NONE)]
            if not (choices := list(filter(fits, choices))):
                return None
            arguments[parameter] = choices[0]
        made.append({"name": name, "arguments": in_order(arguments, schema)})
    valid = validator(answer_schema(tools)).is_valid(made)
    return made if valid and calls.right(made, answers, signatures) else None


def example(acceptable: Any) -> Any:
    """A value of what is acceptable: an object is written {key: [values]}, a list holds such objects or plain values."""
    if isinstance(acceptable, list):
        return [example(item) for item in acceptable]
    if not isinstance(acceptable, dict):
        return acceptable
    return {key: values[0] for key, values in acceptable.items() if calls.NONE not in values}


def make_shots(schemas: list[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """`count` examples with tools made of the training side's schemas, the shortest of CHOICES; they make one call, none and
    two in turn, and fewer are the first of more."""
    chosen = sorted((each["schema"] for each in schemas[:CHOICES]), key=lambda schema: len(str(schema)))
    return [
        _shot(chosen[place % len(chosen)], chosen[(place + 1) % len(chosen)], place, seed) for place in range(count)
    ]


def _shot(schema: dict[str, Any], other: dict[str, Any], place: int, seed: int) -> dict[str, Any]:
    """One tool, asked for; where no call is right, the question is one for another tool."""
    values = Values("training", seeded(seed, "shots", place))
    wanted = CALLS_IN_TURN[place % len(CALLS_IN_TURN)]
    tool, asked = _tool(schema), _tool(schema if wanted else other)
    drawn = [values.draw(asked["parameters"]) for _ in range(wanted or 1)]
    question = "\n".join([f"{asked['description']}:", *(state(instance, values.rng) for instance in drawn)])
    made = [{"name": tool["name"], "arguments": instance} for instance in drawn]
    return {
        "messages": [system_turn([tool]), {"role": "user", "content": question}],
        "answer": calls_json(made, [tool]) if wanted else NO_TOOL,
    }


def _tool(schema: dict[str, Any]) -> dict[str, Any]:
    first = next(iter(schema["properties"]))
    parameters = {key: value for key, value in schema.items() if key != "additionalProperties"}
    return {"name": f"save_{first}", "description": f"Save the {first}", "parameters": parameters}


def baselines(items: list[dict[str, Any]]) -> dict[str, float]:
    """BFCL's check of an answer for which no question was read."""
    judged = [item for item in items if item["check"]["answers"]]
    first = sum(
        calls.right(
            [{"name": _first_tool(item), "arguments": {}}], item["check"]["answers"], item["check"]["functions"]
        )
        for item in judged
    )
    return {"the first tool without arguments": first / max(len(judged), 1)}


def _first_tool(item: dict[str, Any]) -> str:
    return item["schema"]["items"]["anyOf"][0]["properties"]["name"]["const"]
