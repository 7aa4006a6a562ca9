"""Whether calls are those that BFCL accepts: its check by abstract syntax for Python, in our own words.

Source: ast_checker of bfcl-eval 2026.3.23; what it accepts by accident is accepted here too, so that scores mean the same.
An answer [{name: {parameter: [acceptable values]}}] is met by as many calls, in any order, each taking the first answer that
it fits: the same function; no required parameter missing, nor one whose acceptable values lack ""; none that the function or
the answer does not have; and each value of its parameter's type and acceptable.

| parameter | a value fits when |
|---|---|
| string, any | it is acceptable but for case, spaces, and the marks , . / - _ * ^ |
| integer, boolean | it is acceptable, and of that type |
| float | the same; an integer is taken for a float |
| array, tuple | it is acceptable as a list, strings in it as above, nothing else converted |
| array of dict | it has as many objects as an acceptable one, each as below |
| dict | of an acceptable object {key: [values]} it has the keys, but for those that "" is a value of, and a value of each |

Where the first acceptable value is of another type than the parameter, as with the name of a variable, nothing is converted:
the value must equal an acceptable one and have the type of either.
"""

import re
from typing import Any

PYTHON = {
    "string": str,
    "any": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
}
UNHEARD = re.compile(r"[ ,./\-_*^]")
# What stands among acceptable values for none.
NONE = ""


def signature(function: dict[str, Any]) -> dict[str, Any]:
    """What the check needs to know of a BFCL function: `required` names, and for each parameter [type, type of its items],
    the latter of an array or a tuple, else None."""
    parameters = function["parameters"]
    types = {name: [spec["type"], _items(spec)] for name, spec in parameters["properties"].items()}
    return {"required": parameters.get("required", []), "types": types}


def right(calls: list[dict[str, Any]], answers: list[dict[str, Any]], signatures: dict[str, Any]) -> bool:
    """Whether calls {name, arguments} are the ones of an answer; `signatures` by name of function."""
    if len(calls) != len(answers):
        return False
    left = list(calls)
    for answer in answers:
        ((name, accepted),) = answer.items()
        fitting = (
            place
            for place, call in enumerate(left)
            if call["name"] == name and arguments_fit(call["arguments"], accepted, signatures[name])
        )
        if (place := next(fitting, None)) is None:
            return False
        del left[place]
    return True


def arguments_fit(arguments: dict[str, Any], accepted: dict[str, list[Any]], function: dict[str, Any]) -> bool:
    """Whether the arguments of one call fit one answer."""
    types = function["types"]
    return (
        all(name in arguments for name in function["required"])
        and all(name in arguments or NONE in values for name, values in accepted.items())
        and all(
            name in types and name in accepted and value_fits(value, accepted[name], *types[name])
            for name, value in arguments.items()
        )
    )


def value_fits(value: Any, accepted: list[Any], kind: str, items: str | None) -> bool:
    """Whether a value of a parameter of this type, with items of that type, is acceptable."""
    wanted = PYTHON[kind]
    if kind == "float" and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            return False
    shown = _first_type(accepted)
    if type(value) is not wanted:
        return type(value) is shown and value in accepted
    if items and not any(_items_typed(value, option, PYTHON[items]) for option in accepted):
        return False
    if shown not in (None, wanted):
        return value in accepted
    if wanted is dict:
        return any(_object_fits(value, option) for option in accepted)
    if items == "dict":
        return any(_objects_fit(value, option) for option in accepted)
    if wanted is list:
        return any(_heard(value) == _heard(list(option)) for option in accepted if isinstance(option, list | str))
    if wanted is str:
        return any(heard(value) == heard(option) for option in accepted if isinstance(option, str))
    return value in accepted


def heard(value: Any) -> Any:
    """A string without what makes no difference; anything else as it is."""
    return UNHEARD.sub("", value).lower().replace("'", '"') if isinstance(value, str) else value


def _heard(values: list[Any]) -> list[Any]:
    return list(map(heard, values))


def _items(spec: dict[str, Any]) -> str | None:
    return spec["items"]["type"] if spec["type"] in ("array", "tuple") else None


def _first_type(accepted: list[Any]) -> type | None:
    return next((type(option) for option in accepted if option != NONE), None)


def _items_typed(value: list[Any], option: Any, wanted: type) -> bool:
    """Items have the type that was declared, or that of the first item that is acceptable; where an option is no list,
    BFCL asks for no type."""
    return not isinstance(option, list) or all(type(item) in (wanted, _first_type(option)) for item in value)


def _objects_fit(value: list[Any], option: Any) -> bool:
    return (
        isinstance(option, list | str)
        and len(value) == len(option)
        and all(isinstance(item, dict) and _object_fits(item, other) for item, other in zip(value, option, strict=True))
    )


def _object_fits(value: dict[str, Any], option: Any) -> bool:
    return (
        isinstance(option, dict)
        and all(key in option and heard(item) in _heard(option[key]) for key, item in value.items())
        and all(key in value or NONE in values for key, values in option.items())
    )
