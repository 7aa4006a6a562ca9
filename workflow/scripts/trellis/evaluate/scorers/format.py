"""Values written in YAML, TOML, XML or CSV: read back, and compared with the value that was to be written."""

from typing import Any

from trellis.evaluate.agreement import agreement
from trellis.evaluate.answer import fenced
from trellis.evaluate.formats import Unreadable, read


def score(item: dict[str, Any], output: str) -> dict[str, float | None]:
    """The metrics of one answer; `check` is {format}."""
    gold, form = item["gold"], item["check"]["format"]
    metrics = dict.fromkeys(("parse", "parse_lenient", "exact", "leaf_f1", "key_f1", "type_accuracy"), 0.0)
    try:
        value = read(form, output)
    except Unreadable:
        return metrics | {"parse_lenient": float(_readable(form, fenced(output)))}
    return {"parse": 1.0, "parse_lenient": 1.0} | agreement(value, gold)


def _readable(form: str, text: str | None) -> bool:
    try:
        read(form, text or "")
    except Unreadable:
        return False
    return True
