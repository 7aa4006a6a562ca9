"""evaluate_schemas: the schemas of both sides of the seen/unseen split, before any item or training example exists."""

from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from trellis.address import canonical_json
from trellis.command import Result
from trellis.contamination.schemas import find_schemas
from trellis.errors import TrellisError
from trellis.evaluate.candidates import read_candidates
from trellis.evaluate.strata import assemble, draw_properties
from trellis.evaluate.vocabulary import Property, plain, read_vocabulary, walk_properties
from trellis.experiment.evaluation import HubSchemas, SchemaPool, Stratum, WheelSchemas
from trellis.records import write_records
from trellis.schema_distance import TOLERANCE, SchemaSet, elements
from trellis.schema_tasks import seeded
from trellis.spec import Spec

# How often a side may draw what it has, or what is too near, before its vocabulary counts as too small.
ATTEMPTS = 200


def run(spec: Spec, out: Path) -> Result:
    """Writes `training.jsonl`, `held_out.jsonl` and `reference.jsonl`."""
    pool = SchemaPool.model_validate(spec.config["schemas"])
    origins = TypeAdapter(list[WheelSchemas | HubSchemas]).validate_python(spec.config["origins"])
    wheels = {made.metrics["package"]: made for made in spec.inputs_of("wheels")}
    vocabulary = read_vocabulary(
        {name: next(iter(wheels[name].paths(""))) for name in pool.packages}, pool.longest_name
    )
    held_out = list(make_schemas("held_out", vocabulary.held_out, pool.held_out, pool.held_out_strata, pool))
    candidates = read_candidates(origins, list(wheels.values()), spec.inputs_of("files"))
    reference = [{"id": s["schema_id"], "suite": "schema", "text": canonical_json(s["schema"])} for s in held_out]
    reference += [
        {"id": key, "suite": "function-calling", "text": text}
        for key, text in (*sorted(vocabulary.questions.items()), *sorted(vocabulary.functions.items()))
    ]
    reference += [
        {"id": each.id, "suite": "json-schema", "text": canonical_json(each.schema)} for each in candidates.kept
    ]
    known = limit_names(vocabulary.training, pool.training_names, pool.seed)
    near = Near([row["text"] for row in reference], spec.config["component"])
    training = list(make_schemas("training", known, pool.training, pool.training_strata, pool, near))
    shared = names_of(training) & names_of(held_out)
    if shared:
        raise TrellisError(f"evaluate_schemas: {', '.join(sorted(shared))} occur on both sides of the split")
    rows = {"training.jsonl": training, "held_out.jsonl": held_out, "reference.jsonl": reference}
    for name, content in rows.items():
        write_records(out / name, content)
    metrics = {
        "training": _counts(training, known),
        "held_out": _counts(held_out, vocabulary.held_out),
        "reference_texts": len(reference),
        "candidates": {"kept": len(candidates.kept), "left_out": candidates.left_out},
    }
    return Result(metrics, {name: len(content) for name, content in rows.items()})


def limit_names(by_kind: dict[str, list[Property]], limit: int, seed: int) -> dict[str, list[Property]]:
    """At most `limit` names, as evenly over the kinds as these allow; names of function definitions come first, because
    the held-out side is made of function definitions too."""
    order = {}
    for kind, properties in by_kind.items():
        shuffled = seeded(seed, "names", kind).sample(properties, len(properties))
        order[kind] = sorted(shuffled, key=lambda p: p.origin == "cfn-lint")
    chosen: dict[str, list[Property]] = {kind: [] for kind in by_kind}
    while limit and any(len(chosen[kind]) < len(order[kind]) for kind in order):
        for kind in order:
            if limit and len(chosen[kind]) < len(order[kind]):
                chosen[kind].append(order[kind][len(chosen[kind])])
                limit -= 1
    return chosen


class Near:
    """Which schemas are so similar to one of the reference texts' that those who learn them have seen it."""

    def __init__(self, reference: list[str], least: float) -> None:
        schemas = (elements(found.schema) for text in reference for found in find_schemas(text) if not found.inner)
        self.known, self.least = SchemaSet(sorted(set(schemas), key=sorted)), least

    def __contains__(self, schema: dict[str, Any]) -> bool:
        (similarity,), _ = self.known.nearest([elements(schema)])
        return bool(similarity >= self.least - TOLERANCE)


def make_schemas(
    side: str,
    by_kind: dict[str, list[Property]],
    count: int,
    strata: list[Stratum],
    pool: SchemaPool,
    near: Container[dict[str, Any]] = (),
) -> Iterator[dict[str, Any]]:
    """`count` schemas that take the strata in turn, no two with the same properties and none of those that are `near`; the
    first ones are the same for every count.

    Raises TrellisError when the side's names are too few for that many.
    """
    if "conditional" in strata and not by_kind["enum"]:
        raise TrellisError(
            f"evaluation.schemas.{side}_strata: no enum among the names of this side, and conditional needs one"
        )
    made: set[frozenset[str]] = set()
    for index in range(count):
        rng, stratum = seeded(pool.seed, side, index), strata[index % len(strata)]
        for _ in range(ATTEMPTS if any(by_kind.values()) else 0):
            drawn = draw_properties(stratum, by_kind, pool.properties, rng)
            names = [plain(p.name) for p in (*drawn.leaves, *drawn.others)]
            if len(set(names)) < len(names) or frozenset(names) in made:
                continue
            if (schema := assemble(stratum, drawn, rng)) not in near:
                break
        else:
            raise TrellisError(
                f"evaluation.schemas.{side}: {count} schemas cannot be made of {sum(map(len, by_kind.values()))} names; "
                f"ask for fewer, or for more names or properties"
            )
        made.add(frozenset(names))
        schema_id = f"{side}-{index:05d}"
        yield {
            "schema_id": schema_id,
            "cluster": schema_id,
            "stratum": stratum,
            "schema": schema,
            "origin": sorted({p.origin for p in (*drawn.leaves, *drawn.others)}),
        }


def names_of(schemas: list[dict[str, Any]]) -> set[str]:
    """Every property name in the schemas, without its spelling."""
    return {plain(name) for schema in schemas for name, _ in walk_properties(schema["schema"])}


def _counts(schemas: list[dict[str, Any]], by_kind: dict[str, list[Property]]) -> dict[str, Any]:
    return {
        "schemas": len(schemas),
        "names": len(names_of(schemas)),
        "by_kind": {kind: len(properties) for kind, properties in by_kind.items()},
        "strata": dict(Counter(schema["stratum"] for schema in schemas)),
    }
