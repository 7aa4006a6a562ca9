"""The values that the format suite asks for: records of names and words that fine-tuning's templates do not have.

Every value is one that its format can say without loss: no null, nothing empty, and in XML and CSV, which have no types, no
string that reads as a number or a constant.
"""

import random
from typing import Any, Literal

Form = Literal["yaml", "toml", "xml", "csv"]

NAMES = {
    "word": (
        *("moorland", "ferryman", "quarry", "lichen", "bellows", "turbine", "almanac", "causeway", "gazette", "kiln"),
        *("lantern_oil", "hull_paint", "reed_bed", "clock_maker", "bog_type", "tide_mark", "loom_pattern", "ink_shade"),
    ),
    "count": ("rivets", "seedlings", "lock_gates", "sluices", "hatchlings", "spindles", "millstones", "rungs"),
    "measure": ("girth_cm", "slope_deg", "turbidity", "sag_mm", "albedo", "brix", "fetch_km", "torque_nm"),
    "flag": ("is_tarred", "is_fallow", "has_ballast", "is_glazed", "has_keystone", "is_moulted"),
    "list": ("heather_kinds", "bell_tones", "knots_used", "ferns_seen", "dyes_tried"),
    "part": ("weir", "belfry", "cooperage", "paddock", "drydock", "dovecote", "tollhouse"),
    "rows": ("soundings", "furrows", "castings", "fledglings"),
}
WORDS = (
    *("bracken", "marl", "umber", "sedge", "tallow", "basalt", "plover", "gorse", "pewter", "flint", "madder", "osier"),
    *(
        "curlew",
        "teasel",
        "ochre",
        "peat",
        "wicker",
        "slate",
        "thrift",
        "linnet",
        "rowan",
        "sorrel",
        "burdock",
        "dunlin",
    ),
)
# Strings that hold what means something in the format: most are spoilt where nothing is quoted or escaped.
AWKWARD: dict[Form, tuple[str, ...]] = {
    "yaml": ("{0}: {1}", "- {0}", "# {0}", "no", "0{2}", "{0} #{2}", "true", '"{0}" {1}', "{2}.0", "*{0}", "{{{0}}}"),
    "toml": ('"{0}" {1}', "{0} = {1}", "\\{0}", "{0} # {1}", "[{0}]", "0{2}", "true", "{0}\n{1}"),
    "xml": ("{0} & {1}", "<{0}>", "{0} < {1}", "{0} > {2}", '"{0}" & {1}', "&{0};", "{0} &amp; {1}"),
    "csv": ("{0}, {1}", '"{0}" {1}', "{0}; {1}", '{0}, "{1}"', "{0}\n{1}", "{0},{1},{2}"),
}
SIZES = ("small", "medium", "large")


def draw_value(form: Form, size: str, rng: random.Random) -> Any:
    """A value to be written: an object, or for CSV rows alike. Small ones have two scalars, or a row of two."""
    scalars = {"small": 2, "medium": 3, "large": 5}[size]
    names = _names(scalars, rng)
    if form == "csv":
        rows = {"small": 1, "medium": 2, "large": 4}[size]
        return [{name: _scalar(kind, form, rng) for name, kind in names} for _ in range(rows)]
    value: dict[str, Any] = {name: _scalar(kind, form, rng) for name, kind in names}
    if size != "small":
        part, inside = rng.sample(NAMES["part"], 2)
        value[rng.choice(NAMES["list"])] = rng.sample(WORDS, rng.randint(2, 3))
        value[part] = {name: _scalar(kind, form, rng) for name, kind in _names(2, rng)}
        if size == "large":
            value[part][inside] = {name: _scalar(kind, form, rng) for name, kind in _names(1, rng)}
            row = _names(2, rng)
            value[rng.choice(NAMES["rows"])] = [
                {name: _scalar(kind, form, rng) for name, kind in row} for _ in range(2)
            ]
    return {name: value[name] for name in rng.sample(list(value), len(value))}


def _names(count: int, rng: random.Random) -> list[tuple[str, str]]:
    """(name, kind) of scalars, the first a string."""
    kinds = ["word", *(rng.choice(("word", "count", "measure", "flag")) for _ in range(count - 1))]
    found: dict[str, str] = {}
    for kind in kinds:
        found[rng.choice([name for name in NAMES[kind] if name not in found])] = kind
    return list(found.items())


def _scalar(kind: str, form: Form, rng: random.Random) -> Any:
    match kind:
        case "count":
            return rng.randint(2, 9_999)
        case "measure":
            return rng.randint(1, 9_999) / 100
        case "flag":
            return rng.random() < 0.5
    one, other = rng.sample(WORDS, 2)
    if rng.random() < 0.3:
        return rng.choice(AWKWARD[form]).format(one, other, rng.randint(10, 99))
    return rng.choice((one, f"{one} {other}"))
