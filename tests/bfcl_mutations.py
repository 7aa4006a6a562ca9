"""Calls that are nearly right: acceptable values of an answer, then changed in one to three places; and calls out of the air.

Calls are [name, arguments] pairs here, so that each can be changed in place.
"""

import random
from typing import Any

Calls = list[list[Any]]
# Acceptable values by BFCL's types; an object is written {key: [acceptable values]}.
VALUES = {
    "string": ("A b", "it's", "x", "A-B^", "1"),
    "any": ("A", "b c"),
    "integer": (1, 0, 2, -3),
    "float": (1.0, 2.5, 0.0, 1),
    "boolean": (True, False),
    "dict": ({"a": [1, ""], "b": ["X y"]}, {"a": [[1]]}, {}),
}


def acceptable_calls(answers: list[dict[str, Any]], rng: random.Random) -> Calls:
    """One acceptable value for each parameter at random; "" stands for none, and is now and then written all the same."""
    made = []
    for answer in answers:
        ((name, parameters),) = answer.items()
        chosen = {parameter: rng.choice(values) for parameter, values in parameters.items() if values}
        made.append([name, {key: _written(value, rng) for key, value in chosen.items() if _present(value, rng)}])
    return made


def mutated_calls(answers: list[dict[str, Any]], functions: list[dict[str, Any]], rng: random.Random) -> Calls:
    """Acceptable calls with none to three changes, or one time in thirty, junk calls to the functions."""
    offered = {function["name"]: list(function["parameters"]["properties"]) for function in functions}
    if rng.random() < 1 / 30:
        return [
            [name, {key: junk(rng) for key in rng.sample(offered[name], min(len(offered[name]), rng.randrange(3)))}]
            for name in rng.choices(list(offered), k=rng.randrange(4))
        ]
    calls = acceptable_calls(answers, rng)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        if calls:
            _change_calls(calls, offered, rng)
    return calls


def parameter(rng: random.Random) -> tuple[dict[str, Any], list[Any], Any]:
    """A parameter of any type, values that are acceptable for it, one in eight of another type, and a value like these."""
    kind = rng.choice([*VALUES, "array", "array", "tuple"])
    items = rng.choice(list(VALUES)) if kind in ("array", "tuple") else None
    accepted = [_acceptable(kind, items, rng) for _ in range(rng.randrange(1, 4))]
    value = _written(rng.choice(accepted), rng)
    spec = {"type": kind, "items": {"type": items}} if items else {"type": kind}
    return spec, accepted, value if rng.random() < 0.5 else _changed(value, rng)


def junk(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON value; integers beyond a double among them."""
    match rng.randrange(9 if depth < 3 else 6):
        case 0:
            return rng.choice((0, 1, -1, 5, 2**60, 10**400))
        case 1:
            return rng.choice((0.0, 1.0, 2.5, -3.0))
        case 2:
            return rng.choice((True, False, None))
        case 3 | 4 | 5:
            return rng.choice(("", "a", "A b", "x.y", "日本", "1", "true"))
        case 6 | 7:
            return [junk(rng, depth + 1) for _ in range(rng.randrange(3))]
        case _:
            return {rng.choice("abc"): junk(rng, depth + 1) for _ in range(rng.randrange(3))}


def _acceptable(kind: str, items: str | None, rng: random.Random) -> Any:
    match rng.randrange(8):
        case 0:
            return ""
        case 1:
            return rng.choice(VALUES[rng.choice(list(VALUES))])
        case _ if items is None:
            return rng.choice(VALUES[kind])
    others = [items] * 9 + ([] if items == "dict" else ["string", "integer", "float", "boolean"])
    return [rng.choice(VALUES[rng.choice(others)]) for _ in range(rng.randrange(4))]


def _present(value: Any, rng: random.Random) -> bool:
    return value != "" or rng.random() < 0.2


def _written(value: Any, rng: random.Random) -> Any:
    """An acceptable object is written {key: [acceptable values]}."""
    if isinstance(value, list):
        return [_written(item, rng) for item in value]
    if not isinstance(value, dict):
        return value
    chosen = {key: rng.choice(values) for key, values in value.items() if values}
    return {key: item for key, item in chosen.items() if _present(item, rng)}


def _change_calls(calls: Calls, offered: dict[str, list[str]], rng: random.Random) -> None:
    place = rng.randrange(len(calls))
    name, arguments = calls[place]
    parameters = [*offered.get(name, ()), "unknown"]
    match rng.randrange(12):
        case 0:
            calls.append([name, dict(arguments)])
        case 1:
            del calls[place]
        case 2:
            rng.shuffle(calls)
        case 3:
            calls[place][0] = rng.choice([*offered, f"{name}x", name.upper(), name.replace(".", "_")])
        case 4 if arguments:
            del arguments[rng.choice(list(arguments))]
        case 5:
            arguments[rng.choice(parameters)] = junk(rng)
        case 6:
            arguments[rng.choice(parameters)] = rng.choice(("", [], None, {}, 0, [{}], [""]))
        case _ if arguments:
            key = rng.choice(list(arguments))
            arguments[key] = _changed(arguments[key], rng)


def _changed(value: Any, rng: random.Random) -> Any:
    """A value with a change somewhere in it."""
    others = {dict: _changed_object, list: _changed_list, str: _changed_string, bool: _changed_boolean}
    others |= {int: _changed_number, float: _changed_number}
    return others[type(value)](value, rng) if type(value) in others and rng.random() < 0.8 else junk(rng)


def _changed_object(value: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    changed = dict(value)
    key = rng.choice([*value, "unknown"])
    match rng.randrange(5):
        case 0:
            changed.pop(key, None)
        case 1:
            changed["unknown"] = junk(rng)
        case _:
            changed[key] = _changed(value.get(key), rng)
    return changed


def _changed_list(value: list[Any], rng: random.Random) -> list[Any]:
    place = rng.randrange(len(value) + 1)
    match rng.randrange(5):
        case 0:
            return value[:place] + value[place + 1 :]
        case 1:
            return [*value[:place], junk(rng), *value[place:]]
        case 2:
            return rng.sample(value, len(value))
        case 3:
            return value + value[:1]
        case _:
            return [_changed(item, rng) if at == place else item for at, item in enumerate(value)]


def _changed_string(value: str, rng: random.Random) -> Any:
    spellings = (value.upper(), value.replace(" ", ""), value.replace(" ", "_"), f"{value}.", "-".join(value))
    others = (value[:-1], f"{value}x", value.replace("'", '"'), list(value), [value])
    return rng.choice(spellings + others)


def _changed_boolean(value: bool, rng: random.Random) -> Any:
    return rng.choice((not value, int(value), str(value), float(value)))


def _changed_number(value: float, rng: random.Random) -> Any:
    if abs(value) > 2**60:
        return -value
    other = float(value) if isinstance(value, int) else int(value)
    return rng.choice((other, value + 1, -value, str(value), [value], bool(value)))
