"""Answers that are JSON, judged by the item's schema and, where there is one, by its gold value."""

import functools
import json
from collections import Counter
from typing import Any

import jsonschema_rs

from trellis.evaluate.agreement import agreement, overlap
from trellis.evaluate.answer import NotJson, parse, parse_lenient
from trellis.evaluate.validator import validator

# How many schemas' validators are kept: as many as a suite has.
KEPT = 4096


def score(item: dict[str, Any], output: str) -> dict[str, float | None]:
    """The metrics of one answer. `key_f1` is null where the item has neither gold nor required names."""
    gold, schema = item["gold"], item["schema"]
    names = _names(schema)
    metrics = dict.fromkeys(("parse", "parse_lenient", "schema_valid"), 0.0)
    metrics |= dict.fromkeys(("exact", "leaf_f1", "type_accuracy"), None if gold is None else 0.0)
    metrics["key_f1"] = None if gold is None and not names["required"] else 0.0
    try:
        value = parse(output)
    except NotJson:
        return metrics | {"parse_lenient": float(_readable(output))}
    valid = cached_validator(json.dumps(schema)).is_valid(value)
    metrics |= {"parse": 1.0, "parse_lenient": 1.0, "schema_valid": float(valid)}
    if gold is not None:
        metrics |= agreement(value, gold)
        metrics["exact"] *= valid
    elif names["required"]:
        # What may be there counts neither for the answer nor against it.
        found = [key for key in value if key not in names["optional"]] if isinstance(value, dict) else []
        metrics["key_f1"] = overlap(found, Counter(names["required"]))
    return metrics


@functools.lru_cache(KEPT)
def cached_validator(schema: str) -> jsonschema_rs.Validator:
    """The validator of a schema given as JSON."""
    return validator(json.loads(schema))


def _names(schema: Any) -> dict[str, set[str]]:
    """The root's required names, and those that it has besides."""
    root = schema if isinstance(schema, dict) else {}
    required = set(root.get("required", ()))
    return {"required": required, "optional": root.get("properties", {}).keys() - required}


def _readable(output: str) -> bool:
    try:
        parse_lenient(output)
    except NotJson:
        return False
    return True
