"""evaluate_score: every generation against its item, one row of metrics each; every item counts, whatever came out."""

from collections import Counter, defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import jsonschema_rs
import pyarrow as pa

from trellis.command import Result
from trellis.documents import write_table
from trellis.errors import TrellisError
from trellis.evaluate.answer import NotJson, equal, f1, keys, leaves, parse
from trellis.records import read_records
from trellis.spec import Spec

METRICS = ("parse", "schema_valid", "exact", "leaf_f1", "key_f1", "truncated")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "suite", "split", "cluster")] + [(name, pa.float64()) for name in METRICS]
)


def run(spec: Spec, out: Path) -> Result:
    """Writes `scores.parquet`. Raises TrellisError when the generations do not answer these items."""
    items = [item for path in spec.input("items").paths("items/") for item in read_records(path)]
    generations = list(read_records(spec.input("generations").path("generations.jsonl")))
    if [item["id"] for item in items] != [generation["id"] for generation in generations]:
        raise TrellisError("evaluate_score: the generations are not those of these items; generate them again")
    rows = [score(item, generation) for item, generation in zip(items, generations, strict=True)]
    write_table(out / "scores.parquet", SCHEMA, rows)
    metrics = {"model": spec.config["model"], "seed": spec.config["seed"], "suites": means(rows)}
    return Result(metrics, {"scores.parquet": len(rows)})


def score(item: dict[str, Any], generation: dict[str, Any]) -> dict[str, Any]:
    """All metrics of one answer, each in 0..1; None where the item has no gold to compare with."""
    gold = item["gold"]
    row = {name: item[name] for name in ("id", "suite", "split", "cluster")}
    row |= {"parse": 0.0, "schema_valid": 0.0, "key_f1": 0.0, "truncated": float(generation["stop"] == "length")}
    row |= dict.fromkeys(("exact", "leaf_f1"), None if gold is None else 0.0)
    try:
        value = parse(generation["output"])
    except NotJson:
        return row
    valid = jsonschema_rs.validator_for(item["schema"], validate_formats=True).is_valid(value)
    # Without gold the schema itself says which keys an answer has.
    wanted = keys(gold) if gold is not None else ((name,) for name in item["schema"].get("required", ()))
    row |= {"parse": 1.0, "schema_valid": float(valid), "key_f1": f1(Counter(keys(value)), Counter(wanted))}
    if gold is not None:
        row["exact"] = float(valid and equal(value, gold))
        row["leaf_f1"] = f1(Counter(leaves(value)), Counter(leaves(gold)))
    return row


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """By suite and split: the number of items, and each metric's mean over the items that have it (None without any)."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["suite"], row["split"]].append(row)
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for (suite, split), group in sorted(groups.items()):
        values = {name: [row[name] for row in group if row[name] is not None] for name in METRICS}
        found[suite][split] = {"items": len(group)} | {
            name: fmean(column) if column else None for name, column in values.items()
        }
    return dict(found)
