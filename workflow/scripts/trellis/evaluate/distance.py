"""evaluate_distance: how near the schemas of every item are to those of fine-tuning, and proof that none leaked.

What counts as unseen is what the models were shown: the schemas are read out of the conversations that they are fine-tuned
on, whatever the plan says. Source of the buckets: similarity bounds as in experiment.evaluation.Distance.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trellis.command import Result
from trellis.contamination.schemas import find_schemas
from trellis.documents import write_table
from trellis.errors import TrellisError
from trellis.experiment.evaluation import Distance
from trellis.progress import bar
from trellis.records import read_records
from trellis.schema_distance import Elements, SchemaSet, canonical, elements, keywords, names, shape
from trellis.spec import Spec

BUCKETS = ("seen", "near", "far", "held_out_feature")
BARS = 20
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "suite": pa.string(),
        "similarity": pa.float32(),
        "nearest": pa.string(),
        "same_shape": pa.bool_(),
        "name_overlap": pa.float32(),
        "bucket": pa.string(),
    }
)


@dataclass
class Shown:
    """What fine-tuning shows: its distinct schemas, each with the first example that has it."""

    examples: list[str]
    elements: list[Elements]
    hashes: set[str]
    shapes: set[str]
    tools: set[str]
    names: set[str]
    keywords: set[str]


def run(spec: Spec, out: Path) -> Result:
    """Writes `nearest.parquet`. Raises TrellisError, naming both, for an unseen item whose schema fine-tuning has."""
    bounds = Distance.model_validate(spec.config["distance"])
    items = [item for made in spec.inputs_of("items") for item in read_records(made.path("items.jsonl"))]
    shown = _shown(spec.input("data").path("train.jsonl"))
    known = SchemaSet(shown.elements)
    asked = [(item, found) for item in items if (found := _schemas(item["messages"]))]
    similarity, place = known.nearest([elements(schema) for _, found in asked for _, schema in found])
    rows, at = [], 0
    with bar("distance", len(asked), "items") as progress:
        for item, found in asked:
            # Of several tools the nearest counts.
            best = at + int(similarity[at : at + len(found)].argmax())
            rows.append(_row(item, found, float(similarity[best]), int(place[best]), shown, bounds))
            at += len(found)
            progress.advance()
    _refuse_leaks([item for item, _ in asked], rows, bounds)
    write_table(out / "nearest.parquet", SCHEMA, rows)
    return Result({"schemas": len(shown.elements), "suites": _summary(rows)}, {"nearest.parquet": len(rows)})


def _schemas(messages: list[dict[str, str]]) -> list[tuple[str, dict[str, Any]]]:
    """(name of the tool, "" where it is none, and schema) of every schema that the prompt's turns hold."""
    text = "\n".join(turn["content"] for turn in messages if turn["role"] != "assistant")
    return [(found.tool, found.schema) for found in find_schemas(text) if not found.inner]


def _shown(path: Path) -> Shown:
    shown = Shown([], [], set(), set(), set(), set(), set())
    for example in read_records(path):
        for tool, schema in _schemas(example["messages"]):
            if tool:
                shown.tools.add(tool)
            if (mark := canonical(schema)) in shown.hashes:
                continue
            shown.hashes.add(mark)
            shown.shapes.add(shape(schema))
            shown.examples.append(example["id"])
            shown.elements.append(elements(schema))
            shown.names |= names(schema)
            shown.keywords |= keywords(schema)
    return shown


def _row(item, found, similarity: float, place: int, shown: Shown, bounds: Distance) -> dict[str, Any]:
    same_hash = any(canonical(schema) in shown.hashes for _, schema in found)
    same_shape = any(shape(schema) in shown.shapes for _, schema in found)
    called = set().union(*(names(schema) for _, schema in found))
    features = set().union(*(keywords(schema) for _, schema in found))
    if same_hash or item["split"] == "seen":
        bucket = "seen"
    elif features - shown.keywords:
        bucket = "held_out_feature"
    elif similarity >= bounds.near or same_shape or any(tool in shown.tools for tool, _ in found if tool):
        bucket = "near"
    else:
        bucket = "far"
    return {
        "id": item["id"],
        "suite": item["suite"],
        "similarity": 1.0 if same_hash else similarity,
        "nearest": shown.examples[place] if place >= 0 else None,
        "same_shape": same_shape,
        "name_overlap": len(called & shown.names) / len(called) if called else 0.0,
        "bucket": bucket,
    }


def _refuse_leaks(items: list[dict[str, Any]], rows: list[dict[str, Any]], bounds: Distance) -> None:
    leaks = [
        row
        for item, row in zip(items, rows, strict=True)
        if item["split"] != "seen" and (row["bucket"] == "seen" or row["similarity"] >= bounds.leak)
    ]
    if leaks:
        first = max(leaks, key=lambda row: row["similarity"])
        raise TrellisError(
            f"evaluate_distance: {len(leaks)} unseen items have schemas that fine-tuning shows: {first['id']} is "
            f"{first['similarity']:.2f} similar to example {first['nearest']} (allowed: below {bounds.leak:g}); leave that "
            f"set out of sft.mixes, or lower evaluation.distance.component so that more of it is removed"
        )


def _summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    groups = defaultdict(list)
    for row in rows:
        groups[row["suite"]].append(row)
    found = {}
    for suite, group in sorted(groups.items()):
        counts = Counter(row["bucket"] for row in group)
        histogram, _ = np.histogram([row["similarity"] for row in group], BARS, (0, 1))
        found[suite] = {
            "buckets": {bucket: counts[bucket] for bucket in BUCKETS},
            "histogram": histogram.tolist(),
        }
    return found
