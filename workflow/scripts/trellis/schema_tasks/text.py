"""Texts that state an instance: line by line, or in prose with distractors. The instance can be read off them exactly.

A distractor is a sentence that a careless reader takes a value from: a value that the same sentence corrects, one of
another record, one of something whose name is similar. Each says so itself, and none speaks of what the answer lacks.
"""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from trellis.chat import answer_json
from trellis.schema_tasks.values import Values

ORDINALS = ("first", "second", "third")
STATED = (
    "The {spoken} is {value}.",
    "{value} is the {spoken}.",
    "It has {value} as the {spoken}.",
    "{written} is {value}.",
    "{written} = {value}.",
)
UNKNOWN = ("The {spoken} is unknown.", "Nobody knows the {spoken}.", "{written} is unknown.")
CORRECTED = (
    "The {spoken} is not {other} but {value}.",
    "The {spoken} was first given as {other}, which is wrong; it is {value}.",
)
ELSEWHERE = (
    "In another record, the {spoken} is {other}.",
    "Another record has {other} as the {spoken}.",
    "The {similar} is {other}.",
    "{other} is the {similar}.",
)
# No name in a schema has a space in it.
SIMILAR = ("{} limit", "{} code", "draft {}", "former {}")
# How many distractors a text has.
DISTRACTORS = (0, 1, 1, 2)


class Leaf(NamedTuple):
    """A scalar or an array of scalars in an instance: where, what, and the schema that it was drawn from."""

    path: tuple[str | int, ...]
    value: Any
    spec: dict[str, Any]


def state(instance: dict[str, Any], rng: random.Random) -> str:
    """A text that states every value of a flat instance, one line a property, in an order of its own."""
    names = rng.sample(list(instance), len(instance))
    phrase = rng.choice(("{} is {}", "{}: {}", "{} = {}"))
    return "\n".join(phrase.format(name, answer_json(instance[name])) for name in names)


def narrate(instance: dict[str, Any], schema: dict[str, Any], values: Values) -> str:
    """A text that states every value of an instance, a sentence each in an order of its own, with up to two distractors
    that `values` are drawn for. Adversarial strings stand as they are, unescaped, between « and »."""
    rng, found = values.rng, list(leaves(instance, schema))
    rng.shuffle(found)
    doubtful = [leaf for leaf in found if leaf.value is not None and "const" not in leaf.spec]
    about = rng.sample(doubtful, min(rng.choice(DISTRACTORS), len(doubtful)))
    sentences, elsewhere = [], []
    for leaf in found:
        forms = UNKNOWN if leaf.value is None else STATED
        other = None
        if leaf in about:
            other = _another(leaf, values)
            if rng.random() < 0.5:
                forms = CORRECTED
            else:
                elsewhere.append(_sentence(rng.choice(ELSEWHERE), leaf, other, values))
        sentences.append(_sentence(rng.choice(forms), leaf, other, values))
    for sentence in elsewhere:
        sentences.insert(rng.randint(0, len(sentences)), sentence)
    return " ".join(sentences)


def leaves(value: Any, spec: dict[str, Any], path: tuple[str | int, ...] = ()) -> Iterator[Leaf]:
    """The leaves of a drawn value; of a oneOf, those of the branch whose constants it has."""
    if "oneOf" in spec:
        spec = next(branch for branch in spec["oneOf"] if _chosen(value, branch))
    if isinstance(value, dict):
        for name, child in value.items():
            yield from leaves(child, spec["properties"][name], (*path, name))
    elif isinstance(value, list) and isinstance(value[0], dict):
        for index, child in enumerate(value):
            yield from leaves(child, spec["items"], (*path, index))
    else:
        yield Leaf(path, value, spec)


def _chosen(value: dict[str, Any], branch: dict[str, Any]) -> bool:
    properties = branch["properties"].items()
    return all(value.get(name) == child["const"] for name, child in properties if "const" in child)


def _another(leaf: Leaf, values: Values) -> Any:
    while (other := values.draw(leaf.spec)) in (leaf.value, None):
        pass
    return other


def _sentence(form: str, leaf: Leaf, other: Any, values: Values) -> str:
    *above, name = leaf.path
    similar = values.rng.choice(SIMILAR).format(name)
    return form.format(
        spoken=_spoken(leaf.path),
        written=_written(leaf.path),
        similar=_spoken((*above, similar)),
        value=_told(leaf.value, values),
        other=_told(other, values),
    )


def _spoken(path: tuple[str | int, ...]) -> str:
    """`name of the first of items`"""
    return " of ".join(f"the {ORDINALS[step]}" if isinstance(step, int) else step for step in reversed(path))


def _written(path: tuple[str | int, ...]) -> str:
    """`items[0].name`"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _told(value: Any, values: Values) -> str:
    if isinstance(value, list):
        *first, last = (_told(item, values) for item in value)
        return f"{', '.join(first)} and {last}" if first else last
    if values.adversarial and isinstance(value, str):
        return f"«{value}»"
    if values.adversarial and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{answer_json(value)} {values.unit()}"
    return answer_json(value)
