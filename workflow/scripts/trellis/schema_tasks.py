"""Schema-to-JSON tasks, made alike for training and evaluation: a schema, seeded values that fit it, and the messages.

The user's turn is the schema and, where there are values to find, a short text that states them; the assistant's turn is
the JSON. Everything is a function of the seed, the side and the index, so a larger set holds the smaller one unchanged.
"""

import random
from pathlib import Path
from typing import Any, Literal

from trellis.chat import answer_json

Side = Literal["training", "evaluation"]
Message = dict[str, str]

# What strings are made of; the sides share no word, so that a value in evaluation was never a value in training.
DATA_FILES = ("words.txt",)
WORDS = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split()
VOCABULARY = {"training": WORDS[0::2], "evaluation": WORDS[1::2]}


def seeded(*parts: Any) -> random.Random:
    """A random stream that belongs to these parts alone."""
    return random.Random(":".join(map(str, parts)))


def draw_instance(schema: dict[str, Any], side: Side, rng: random.Random) -> dict[str, Any]:
    """Values that fit a flat object schema, in the order of its properties."""
    return {name: _draw_value(spec, side, rng) for name, spec in schema["properties"].items()}


def _draw_value(spec: dict[str, Any], side: Side, rng: random.Random) -> Any:
    if "enum" in spec:
        return rng.choice(spec["enum"])
    match spec["type"]:
        case "string":
            return " ".join(rng.sample(VOCABULARY[side], rng.choice((1, 1, 2))))
        case "integer":
            return rng.randint(0, 99)
        case "number":
            return rng.randint(0, 999) / 10
        case "boolean":
            return rng.random() < 0.5
        case "array":
            return [_draw_value(spec["items"], side, rng) for _ in range(rng.randint(1, 2))]
        case other:
            raise ValueError(f"no values are drawn for type {other!r}")


def smallest_instance(schema: dict[str, Any]) -> dict[str, Any]:
    """The answer where no values are given: empty, zero, false, or the first of an enum. One fixed choice, because values
    out of the air would be noise that training cannot learn."""
    return {name: _smallest_value(spec) for name, spec in schema["properties"].items()}


def _smallest_value(spec: dict[str, Any]) -> Any:
    if "enum" in spec:
        return spec["enum"][0]
    return {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}[spec["type"]]


def state(instance: dict[str, Any], rng: random.Random) -> str:
    """A text that states every value of an instance, one sentence a property, in an order of its own."""
    names = rng.sample(list(instance), len(instance))
    phrase = rng.choice(("{} is {}", "{}: {}", "{} = {}"))
    return "\n".join(phrase.format(name, answer_json(instance[name])) for name in names)


def prompt(schema: dict[str, Any], text: str | None) -> list[Message]:
    """The messages that ask for an instance of `schema`, from `text` where there is one."""
    content = answer_json(schema) if text is None else f"{answer_json(schema)}\n{text}"
    return [{"role": "user", "content": content}]


def make_task(
    schema: dict[str, Any], side: Side, text_share: float, rng: random.Random
) -> tuple[list[Message], dict[str, Any], bool]:
    """One task: the prompt's messages, an instance that answers it, and whether the prompt states that instance (only
    then is it the one right answer)."""
    if rng.random() >= text_share:
        return prompt(schema, None), smallest_instance(schema), False
    instance = draw_instance(schema, side, rng)
    return prompt(schema, state(instance, rng)), instance, True
