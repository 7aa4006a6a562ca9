"""Values that fit a schema of the pool: drawn at random, or the smallest."""

import random
from pathlib import Path
from typing import Any, Literal

Side = Literal["training", "evaluation"]

# What strings are made of; the sides share no word, so that a value in evaluation was never a value in training.
DATA_FILES = ("words.txt",)
WORDS = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split()
VOCABULARY = {"training": WORDS[0::2], "evaluation": WORDS[1::2]}
# The same for what only adversarial strings are made of.
FOREIGN = {
    "training": ("Zoë", "naïve", "Łódź", "日本", "Ωμέγα", "mañana", "🚲", "Привет"),
    "evaluation": ("Chloë", "café", "Gdańsk", "中文", "πλάνο", "señor", "🌋", "Спасибо"),
}
LITERALS = {"training": ("true", "NaN", "None"), "evaluation": ("false", "null", "undefined")}
UNITS = {"training": ("kg", "km", "°C", "MB"), "evaluation": ("lb", "mi", "°F", "GB")}

# How often a property that may be absent is there, and one that may be null is null.
PRESENT, UNKNOWN = 0.5, 0.4


class Values:
    """Draws values of a side. Adversarial strings hold what JSON must escape, what looks like JSON, and numbers that are
    none; no string begins or ends with a space."""

    def __init__(self, side: Side, rng: random.Random, adversarial: bool = False) -> None:
        self.side, self.rng, self.adversarial = side, rng, adversarial

    def draw(self, spec: dict[str, Any]) -> Any:
        """A value that fits, an object's in the order of its properties."""
        if "const" in spec:
            return spec["const"]
        if "enum" in spec:
            return self.rng.choice(spec["enum"])
        if "oneOf" in spec:
            return self.draw(self.rng.choice(spec["oneOf"]))
        match spec["type"]:
            case [kind, "null"]:
                return None if self.rng.random() < UNKNOWN else self.draw({**spec, "type": kind})
            case "object":
                required = spec["required"]
                children = spec["properties"].items()
                return {
                    name: self.draw(child)
                    for name, child in children
                    if name in required or self.rng.random() < PRESENT
                }
            case "array":
                most = 3 if spec["items"].get("type") == "object" else 2
                return [self.draw(spec["items"]) for _ in range(self.rng.randint(1, most))]
            case "string" if self.adversarial:
                return self._awkward()
            case "string":
                return " ".join(self.rng.sample(VOCABULARY[self.side], self.rng.choice((1, 1, 2))))
            case "integer":
                return self.rng.randint(0, 99)
            case "number":
                return self.rng.randint(0, 999) / 10
            case "boolean":
                return self.rng.random() < 0.5
            case other:
                raise ValueError(f"no values are drawn for type {other!r}")

    def unit(self) -> str:
        """A unit that a number may be stated in."""
        return self.rng.choice(UNITS[self.side])

    def _awkward(self) -> str:
        one, other = self.rng.sample(VOCABULARY[self.side], 2)
        foreign, number = self.rng.choice(FOREIGN[self.side]), self.rng.randint(0, 99)
        shapes = (
            f'{one} "{other}"',
            f"'{one}', {other}",
            f"\\{one}\\{other}",
            f"{one}\n{other}",
            f"{one}\t{other}",
            f'{{"{one}":"{other}"}}',
            f'["{one}",{number}]',
            f"{{{{{one}}}}} }}{{",
            f"</{one}>",
            f"{one}: {number}, {other}",
            f"{foreign} {one}",
            f"{one}… {foreign}",
            f"00{number}",
            f"+{number}",
            f"{number}.00",
            f"{number},{number:03}",
            f"{number} {self.unit()}",
            self.rng.choice(LITERALS[self.side]),
        )
        return self.rng.choice(shapes)


def smallest_instance(spec: dict[str, Any]) -> Any:
    """The answer where no values are given: empty, zero, false, null, or the first choice, and nothing that may be absent.
    One fixed choice, because values out of the air would be noise that training cannot learn."""
    if "const" in spec:
        return spec["const"]
    if "enum" in spec:
        return spec["enum"][0]
    if "oneOf" in spec:
        return smallest_instance(spec["oneOf"][0])
    match spec["type"]:
        case [_, "null"]:
            return None
        case "object":
            return {name: smallest_instance(spec["properties"][name]) for name in _required(spec)}
        case kind:
            return {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}[kind]


def _required(spec: dict[str, Any]) -> list[str]:
    return [name for name in spec["properties"] if name in spec["required"]]
