"""evaluate_schemas: the schemas of both sides of the seen/unseen split, before any item or training example exists."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trellis.address import canonical_json
from trellis.command import Result
from trellis.errors import TrellisError
from trellis.evaluate.vocabulary import Property, plain, read_vocabulary
from trellis.experiment.evaluation import SchemaPool
from trellis.records import write_records
from trellis.schema_tasks import seeded
from trellis.spec import Spec

# How often a side may draw a property set it already has before its vocabulary counts as too small.
ATTEMPTS = 200


def run(spec: Spec, out: Path) -> Result:
    """Writes `training.jsonl`, `held_out.jsonl` and `reference.jsonl`."""
    pool = SchemaPool.model_validate(spec.config["schemas"])
    wheels = {m.metrics["package"]: next(path for path in m.paths("")) for m in spec.inputs_of("wheels")}
    vocabulary = read_vocabulary(wheels, pool.longest_name)
    known = limit_names(vocabulary.training, pool.training_names, pool.seed)
    training = list(make_schemas("training", known, pool.training, pool))
    held_out = list(make_schemas("held_out", vocabulary.held_out, pool.held_out, pool))
    shared = names_of(training) & names_of(held_out)
    if shared:
        raise TrellisError(f"evaluate_schemas: {', '.join(sorted(shared))} occur on both sides of the split")
    reference = [{"id": s["schema_id"], "suite": "schema", "text": canonical_json(s["schema"])} for s in held_out]
    reference += [
        {"id": key, "suite": "function-calling", "text": text} for key, text in sorted(vocabulary.questions.items())
    ]
    rows = {"training.jsonl": training, "held_out.jsonl": held_out, "reference.jsonl": reference}
    for name, content in rows.items():
        write_records(out / name, content)
    metrics = {
        "training": {"schemas": len(training), "names": len(names_of(training)), "by_kind": _sizes(known)},
        "held_out": {
            "schemas": len(held_out),
            "names": len(names_of(held_out)),
            "by_kind": _sizes(vocabulary.held_out),
        },
        "reference_texts": len(reference),
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


def make_schemas(
    side: str, by_kind: dict[str, list[Property]], count: int, pool: SchemaPool
) -> Iterator[dict[str, Any]]:
    """`count` schemas, no two with the same properties; the first ones are the same for every count.

    Raises TrellisError when the side's names are too few for that many.
    """
    kinds = [kind for kind, properties in by_kind.items() if properties]
    made: set[frozenset[str]] = set()
    for index in range(count):
        rng = seeded(pool.seed, side, index)
        for _ in range(ATTEMPTS if kinds else 0):
            drawn = [rng.choice(by_kind[rng.choice(kinds)]) for _ in range(rng.randint(*pool.properties))]
            names = frozenset(plain(p.name) for p in drawn)
            if len(names) == len(drawn) and names not in made:
                break
        else:
            raise TrellisError(
                f"evaluation.schemas.{side}: {count} schemas cannot be made of {sum(map(len, by_kind.values()))} names; "
                f"ask for fewer, or for more names or properties"
            )
        made.add(names)
        schema_id = f"{side}-{index:05d}"
        yield {
            "schema_id": schema_id,
            "cluster": schema_id,
            "schema": object_schema(drawn),
            "origin": sorted({p.origin for p in drawn}),
        }


def object_schema(properties: list[Property]) -> dict[str, Any]:
    """A closed object: every property required, no other allowed."""
    return {
        "type": "object",
        "properties": {p.name: p.spec for p in properties},
        "required": [p.name for p in properties],
        "additionalProperties": False,
    }


def names_of(schemas: list[dict[str, Any]]) -> set[str]:
    """Every property name in the schemas, without its spelling."""
    return {plain(name) for schema in schemas for name in schema["schema"]["properties"]}


def _sizes(by_kind: dict[str, list[Property]]) -> dict[str, int]:
    return {kind: len(properties) for kind, properties in by_kind.items()}
