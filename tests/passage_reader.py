"""A reader of the extraction suite's passages that knows their sentences, and nothing of how the records were drawn."""

import datetime
import re
from typing import Any

from trellis.evaluate.suites.passages import CORRECTIONS, DOMAINS, Domain, Field
from trellis.evaluate.suites.tellings import Choice, Clock, Count, Day, Measure, Name

ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBERS = {word: value for value, word in enumerate([*ONES.split(), "eighteen", "nineteen"])}
for ten, word in enumerate(TENS.split(), start=2):
    NUMBERS |= {word: 10 * ten} | {f"{word}-{one}": 10 * ten + n for n, one in enumerate(ONES.split()[1:10], start=1)}


def records_of(text: str, schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The records that a passage tells of. Raises ValueError where a sentence can be read in no way, or in two."""
    properties = list(schema["items"]["properties"])
    domain = next(each for each in DOMAINS if each.identity == properties[0])
    records: dict[str, dict[str, Any]] = {}
    while text:
        readings = {_key(reading): reading for reading in _sentences(text, domain)}
        if len(readings) != 1:
            raise ValueError(f"{len(readings)} readings of {text[:80]!r}")
        ((end, who, field, value),) = readings.values()
        text = text[end:].removeprefix(" ")
        if who is not None:
            record = records.setdefault(who, {domain.identity: who})
            if field is not None:
                if field.name in record:
                    raise ValueError(f"{field.name} of {who} is told twice")
                record[field.name] = value
    return [{name: record[name] for name in properties} for record in records.values()]


def _key(reading: tuple) -> str:
    end, who, field, value = reading
    return repr((end, who, field and field.name, value))


def _sentences(text: str, domain: Domain):
    """(where it ends, record, field, value) of every way to read the first sentence; a scene has no record, and what takes a
    value back has no field."""
    for scene in domain.scenes:
        if _stands(text, len(scene)) and text.startswith(scene):
            yield len(scene), None, None, None
    for field in domain.fields:
        for form in (*field.sentences, *CORRECTIONS):
            match = _pattern(form, domain, field).match(text)
            if match and _stands(text, match.end()):
                value = None if form in CORRECTIONS else _value(field, match["told"])
                yield match.end(), match["who"], None if form in CORRECTIONS else field, value


def _stands(text: str, end: int) -> bool:
    return text[end:][:1] in ("", " ")


def _pattern(form: str, domain: Domain, field: Field) -> re.Pattern[str]:
    who = f"(?P<who>{'|'.join(map(re.escape, domain.names))})"
    told = f"(?P<told>{_told(field)})"
    pieces = re.split(r"(\{who\}|\{told\})", form)
    return re.compile(
        "".join({"{who}": who, "{told}": told}.get(piece, re.escape(piece)) for piece in pieces), re.IGNORECASE
    )


def _told(field: Field) -> str:
    match field.kind:
        case Count():
            return r"\d+|" + "|".join(sorted(NUMBERS, key=len, reverse=True))
        case Measure():
            return rf"\d+\.\d {field.kind.unit}"
        case Day():
            return r"\d+ [A-Z][a-z]+ \d{4}|[A-Z][a-z]+ \d+, \d{4}"
        case Clock():
            return r"[a-z]+ o'clock in the \w+|(?:half|a quarter) (?:past|to) [a-z]+ in the \w+"
        case Choice():
            return "|".join(map(re.escape, field.kind.phrases.values()))
        case Name():
            return "|".join(field.kind.among)


def _value(field: Field, told: str) -> Any:
    match field.kind:
        case Count():
            return int(told) if told.isdigit() else NUMBERS[told.lower()]
        case Measure():
            return float(told.split()[0])
        case Day():
            form = "%d %B %Y" if told[0].isdigit() else "%B %d, %Y"
            return str(datetime.datetime.strptime(told, form).date())
        case Clock():
            words, half = told.lower().split(" in the ")
            hour = NUMBERS[words.split()[-1] if "o'clock" not in words else words.split()[0]]
            minute = {"half past": 30, "a quarter past": 15, "a quarter to": -15}.get(" ".join(words.split()[:-1]), 0)
            moment = (hour + 12 * (half == "evening")) * 60 + minute
            return f"{moment // 60:02}:{moment % 60:02}"
        case Choice():
            return next(value for value, phrase in field.kind.phrases.items() if phrase.lower() == told.lower())
        case Name():
            return told
