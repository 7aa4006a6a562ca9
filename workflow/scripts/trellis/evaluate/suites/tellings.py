"""How a value is told in words: each kind of field has a JSON Schema, draws values, and tells them so that they can be read
back exactly."""

import datetime
import random
from typing import Any, NamedTuple

UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
QUARTERS = {0: "{hour} o'clock", 15: "a quarter past {hour}", 30: "half past {hour}", 45: "a quarter to {hour}"}


class Count(NamedTuple):
    """An integer from `low` to `high`, in words where it is below 100, sometimes."""

    low: int
    high: int

    def schema(self) -> dict[str, Any]:
        return {"type": "integer"}

    def draw(self, rng: random.Random) -> int:
        return rng.randint(self.low, self.high)

    def tell(self, value: int, rng: random.Random) -> str:
        return number_words(value) if value < 100 and rng.random() < 0.7 else str(value)


class Measure(NamedTuple):
    """A number with one decimal from `low` to `high`, in the `unit` that the sentence names."""

    low: int
    high: int
    unit: str

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "description": f"in {self.unit}"}

    def draw(self, rng: random.Random) -> float:
        return rng.randint(self.low * 10, self.high * 10) / 10

    def tell(self, value: float, rng: random.Random) -> str:
        return f"{value} {self.unit}"


class Day(NamedTuple):
    """A date in the twentieth or twenty-first century."""

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date"}

    def draw(self, rng: random.Random) -> str:
        return str(datetime.date(1950, 1, 1) + datetime.timedelta(days=rng.randrange(27_000)))

    def tell(self, value: str, rng: random.Random) -> str:
        date = datetime.date.fromisoformat(value)
        month = MONTHS[date.month - 1]
        return rng.choice((f"{date.day} {month} {date.year}", f"{month} {date.day}, {date.year}"))


class Clock(NamedTuple):
    """A quarter of an hour from 5:00 to 10:45, in the morning or in the evening."""

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "description": "HH:MM of 24 hours"}

    def draw(self, rng: random.Random) -> str:
        return f"{rng.choice((*range(5, 11), *range(17, 23))):02}:{rng.choice(list(QUARTERS)):02}"

    def tell(self, value: str, rng: random.Random) -> str:
        hour, minute = map(int, value.split(":"))
        told = QUARTERS[minute].format(hour=UNITS[(hour + (minute == 45)) % 12])
        return f"{told} in the {'morning' if hour < 12 else 'evening'}"


class Choice(NamedTuple):
    """One of a few words, each told by a phrase."""

    phrases: dict[Any, str]

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.phrases)}

    def draw(self, rng: random.Random) -> Any:
        return rng.choice(list(self.phrases))

    def tell(self, value: Any, rng: random.Random) -> str:
        return self.phrases[value]


class Flag(Choice):
    """True or false, each told by a phrase."""

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Name(NamedTuple):
    """A name out of a list, as it stands."""

    among: tuple[str, ...]

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def draw(self, rng: random.Random) -> str:
        return rng.choice(self.among)

    def tell(self, value: str, rng: random.Random) -> str:
        return value


Kind = Count | Measure | Day | Clock | Choice | Name


def number_words(value: int) -> str:
    """0 to 99 in words."""
    if value < 20:
        return UNITS[value]
    tens, unit = divmod(value, 10)
    return TENS[tens - 2] + (f"-{UNITS[unit]}" if unit else "")
