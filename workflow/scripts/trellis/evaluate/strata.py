"""The strata of the schema pool: how properties are put together to one schema. Every object is closed.

| stratum | a schema of it |
|---|---|
| flat | scalars, enums and arrays of scalars, all required |
| nested | the same in objects within objects, up to three levels |
| arrays | an array of objects, and enums and arrays of enums |
| optional | properties that may be absent, may be null, or both |
| conditional | a property that is oneOf, whose branches a constant tells apart |
| adversarial | strings and numbers, whose values and texts are awkward |
"""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from trellis.evaluate.vocabulary import Property
from trellis.experiment.evaluation import Stratum

# In the adversarial stratum strings are drawn three times as often as integers or numbers.
AWKWARD = ("string", "string", "string", "integer", "number")
MOST_CONTAINERS = 3
LEVELS = 3


class Drawn(NamedTuple):
    """Properties of distinct names: those that hold values, and what else needs a name, the discriminator first."""

    leaves: list[Property]
    others: list[Property]


def draw_properties(
    stratum: Stratum, by_kind: dict[str, list[Property]], counts: tuple[int, int], rng: random.Random
) -> Drawn:
    """Properties for a schema of the stratum, with `counts` [fewest, most] leaves: where it takes two to make one, two."""
    kinds = [kind for kind, properties in by_kind.items() if properties]

    def draw(among: list[str]) -> Property:
        return rng.choice(by_kind[rng.choice(among)])

    count = rng.randint(*counts)
    match stratum:
        case "flat":
            return Drawn([draw(kinds) for _ in range(count)], [])
        case "adversarial":
            strings = ["string"] if "string" in kinds else kinds
            choices = [kind for kind in AWKWARD if kind in kinds] or kinds
            return Drawn([draw(strings), *(draw(choices) for _ in range(count - 1))], [])
        case "optional":
            return Drawn([draw(kinds) for _ in range(max(count, 2))], [])
        case "conditional":
            return Drawn([draw(kinds) for _ in range(max(count, 2))], [draw(["enum"]), draw(kinds)])
        case "arrays":
            choices = [kind for kind in ("enum", "array") if kind in kinds]
            first = draw(choices or kinds)
            return Drawn([first, *(draw(kinds) for _ in range(max(count, 2) - 1))], [draw(kinds)])
        case "nested":
            count = max(count, 2)
            containers = rng.randint(1, min(MOST_CONTAINERS, count))
            return Drawn([draw(kinds) for _ in range(count)], [draw(kinds) for _ in range(containers)])


def assemble(stratum: Stratum, drawn: Drawn, rng: random.Random) -> dict[str, Any]:
    """The schema of the stratum that these properties make."""
    return ASSEMBLIES[stratum](drawn, rng)


def closed(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    """An object of these properties and no others; all are required where nothing else is said."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def _flat(drawn: Drawn, rng: random.Random) -> dict[str, Any]:
    return closed({p.name: p.spec for p in drawn.leaves})


def _nested(drawn: Drawn, rng: random.Random) -> dict[str, Any]:
    """A tree of objects: each lies in the root or in an earlier one, and holds at least one leaf."""
    entries: list[list[tuple[str, dict[str, Any] | int]]] = [[]]
    levels = [1]
    for number, (container, leaf) in enumerate(zip(drawn.others, drawn.leaves, strict=False), start=1):
        parent = rng.choice([place for place, level in enumerate(levels) if level < LEVELS])
        entries[parent].append((container.name, number))
        entries.append([(leaf.name, leaf.spec)])
        levels.append(levels[parent] + 1)
    for leaf in drawn.leaves[len(drawn.others) :]:
        rng.choice(entries).append((leaf.name, leaf.spec))

    def build(place: int) -> dict[str, Any]:
        order = rng.sample(entries[place], len(entries[place]))
        return closed({name: build(inner) if isinstance(inner, int) else inner for name, inner in order})

    return build(0)


def _arrays(drawn: Drawn, rng: random.Random) -> dict[str, Any]:
    (container,) = drawn.others
    first, *rest = drawn.leaves
    inside = rng.randint(1, len(rest))
    properties = {
        container.name: {"type": "array", "items": closed({p.name: p.spec for p in rest[:inside]})},
        first.name: {"type": "array", "items": first.spec}
        if first.kind == "enum" and rng.random() < 0.5
        else first.spec,
        **{p.name: p.spec for p in rest[inside:]},
    }
    return closed({name: properties[name] for name in rng.sample(list(properties), len(properties))})


def _optional(drawn: Drawn, rng: random.Random) -> dict[str, Any]:
    """The first stays as it is, so that no answer is empty; the second may be absent."""
    properties, absent = {}, set()
    for number, leaf in enumerate(drawn.leaves):
        nullable = number > 0 and leaf.kind != "enum" and rng.random() < 0.5
        properties[leaf.name] = {**leaf.spec, "type": [leaf.spec["type"], "null"]} if nullable else leaf.spec
        if number == 1 or (number > 1 and rng.random() < 0.5):
            absent.add(leaf.name)
    names = rng.sample(list(properties), len(properties))
    return closed({name: properties[name] for name in names}, [name for name in names if name not in absent])


def _conditional(drawn: Drawn, rng: random.Random) -> dict[str, Any]:
    """Each branch has a value of the discriminator and leaves of its own; half of the schemas that have enough leaves have
    one beside the choice."""
    discriminator, container = drawn.others
    beside = int(len(drawn.leaves) > 2 and rng.random() < 0.5)
    leaves = drawn.leaves[beside:]
    values = discriminator.spec["enum"][: len(leaves)]
    branches = [
        closed({discriminator.name: {"const": value}, **{p.name: p.spec for p in leaves[number :: len(values)]}})
        for number, value in enumerate(values)
    ]
    return closed({**{p.name: p.spec for p in drawn.leaves[:beside]}, container.name: {"oneOf": branches}})


ASSEMBLIES: dict[Stratum, Callable[[Drawn, random.Random], dict[str, Any]]] = {
    "flat": _flat,
    "nested": _nested,
    "arrays": _arrays,
    "optional": _optional,
    "conditional": _conditional,
    "adversarial": _flat,
}
