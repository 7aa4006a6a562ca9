"""evaluate_score: every generation against its item, one row of metrics each; every item counts, whatever came out."""

import importlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa

from trellis.command import Result
from trellis.documents import write_table
from trellis.errors import TrellisError
from trellis.evaluate import METRICS
from trellis.manifest import Manifest
from trellis.progress import bar
from trellis.records import read_records
from trellis.spec import Spec

COLUMNS = ("id", "suite", "split", "stratum", "cluster")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in (*COLUMNS, "mode")] + [(metric, pa.float64()) for metric in METRICS]
)
Record = dict[str, Any]


def run(spec: Spec, out: Path) -> Result:
    """Writes `scores.parquet`: of each suite, item by item, its modes. Raises TrellisError when the generations do not answer
    these items."""
    given, made = spec.inputs_of("items"), spec.inputs_of("generations")
    if len(given) != len(made):
        raise TrellisError(f"evaluate_score: {len(given)} suites of items and {len(made)} of generations")
    answered = [answers(*pair) for pair in zip(given, made, strict=True)]
    with bar(f"score {spec.name}", sum(map(len, answered)), "answers") as progress:
        rows = []
        for item, generation, likelihood in (each for suite in answered for each in suite):
            rows.append(row(item, generation, likelihood))
            progress.advance()
    write_table(out / "scores.parquet", SCHEMA, rows)
    metrics = {"model": spec.config["model"], "seed": spec.config["seed"], "suites": means(rows)}
    judges = {"jsonschema_rs": version("jsonschema_rs"), "sqlite": sqlite3.sqlite_version}
    return Result(metrics, {"scores.parquet": len(rows)}, {"judges": judges})


def answers(given: Manifest, made: Manifest) -> list[tuple[Record, Record, Record | None]]:
    """(item, its generation, likelihood of its gold) for each item and mode of a suite, item by item."""
    items = list(read_records(given.path("items.jsonl")))
    generations = list(read_records(made.path("generations.jsonl")))
    likelihoods = {record["id"]: record for record in read_records(made.path("likelihoods.jsonl"))}
    by_mode: dict[str, dict[str, Record]] = defaultdict(dict)
    for generation in generations:
        by_mode[generation["mode"]][generation["id"]] = generation
    every = [item["id"] for item in items]
    asked = {"free": every, "constrained": [item["id"] for item in items if item["schema"] is not None]}
    golds = [item["id"] for item in items if item["answer"] is not None]
    if not (
        made.components.get("inputs", {}).get("items") == [given.fingerprint]
        and (by_mode or not asked["constrained"])
        and all(list(found) == asked[mode] for mode, found in by_mode.items())
        and sum(map(len, by_mode.values())) == len(generations)
        and list(likelihoods) == golds
    ):
        raise TrellisError(
            f"evaluate_score: {made.folder} does not answer the items of {given.folder}; generate them again"
        )
    return [
        (item, found[item["id"]], likelihoods.get(item["id"]) if mode == "free" else None)
        for item in items
        for mode, found in by_mode.items()
        if item["id"] in found
    ]


def row(item: Record, generation: Record, likelihood: Record | None) -> Record:
    """A row of `scores.parquet`; the metrics of a kind are its scorer's."""
    scorer = importlib.import_module(f"trellis.evaluate.scorers.{item['kind']}")
    scored = {name: item[name] for name in COLUMNS} | {"mode": generation["mode"]}
    scored |= dict.fromkeys(METRICS) | scorer.score(item, generation["output"])
    scored["truncated"] = float(generation["stop"] in ("length", "grammar_length"))
    if likelihood is not None and likelihood["nats"] is not None:
        scored["nll_per_byte"] = likelihood["nats"] / likelihood["bytes"]
    return scored


def means(rows: list[Record]) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """By suite, split and mode: the number of items, and each metric's mean over those that have it (None without any)."""
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for each in rows:
        groups[each["suite"], each["split"], each["mode"]].append(each)
    found: dict[str, dict[str, dict[str, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for (suite, split, mode), group in sorted(groups.items()):
        found[suite][split][mode] = {"items": len(group)} | dict(_means(group))
    return {suite: dict(splits) for suite, splits in found.items()}


def _means(group: list[Record]) -> Iterator[tuple[str, float | None]]:
    for metric in METRICS:
        values = [each[metric] for each in group if each[metric] is not None]
        yield metric, fmean(values) if values else None
