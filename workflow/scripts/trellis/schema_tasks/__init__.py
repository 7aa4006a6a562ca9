"""Schema-to-JSON tasks, made alike for training and evaluation: a schema, seeded values that fit it, and the messages.

The user's turn is the schema and, where there are values to find, a short text that states them; the assistant's turn is
the JSON. Everything is a function of the seed, the side and the index, so a larger set holds the smaller one unchanged.

A task is made for the stratum of its schema. A `flat` one states its values line by line, so that it fits the context of
a small model; the others tell them in prose, most of them beside distractors.
"""

import random
from typing import Any

from trellis.chat import answer_json
from trellis.schema_tasks.text import narrate, state
from trellis.schema_tasks.values import Side, Values, smallest_instance

Message = dict[str, str]

# Makes one answer right where a property may be absent or null.
RULE = "Leave out what is not stated; null stands for what is unknown."


def seeded(*parts: Any) -> random.Random:
    """A random stream that belongs to these parts alone."""
    return random.Random(":".join(map(str, parts)))


def prompt(schema: dict[str, Any], text: str | None) -> list[Message]:
    """The messages that ask for an instance of `schema`, from `text` where there is one."""
    content = answer_json(schema) if text is None else f"{answer_json(schema)}\n{text}"
    return [{"role": "user", "content": content}]


def make_task(
    schema: dict[str, Any], stratum: str, side: Side, text_share: float, rng: random.Random
) -> tuple[list[Message], dict[str, Any], bool]:
    """One task for a schema of the stratum: the prompt's messages, an instance that answers it, and whether the prompt
    states that instance (only then is it the one right answer)."""
    if rng.random() >= text_share:
        return prompt(schema, None), smallest_instance(schema), False
    values = Values(side, rng, adversarial=stratum == "adversarial")
    instance = values.draw(schema)
    if stratum == "flat":
        return prompt(schema, state(instance, rng)), instance, True
    text = narrate(instance, schema, values)
    return prompt(schema, f"{RULE} {text}" if stratum == "optional" else text), instance, True
