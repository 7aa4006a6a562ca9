"""evaluate_items: the questions of every suite, with the split they belong to and the right answer where there is one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs

from trellis.command import Result
from trellis.errors import TrellisError
from trellis.experiment.evaluation import SchemaSuite
from trellis.records import read_records, write_records
from trellis.schema_tasks import make_task, seeded
from trellis.spec import Spec


def run(spec: Spec, out: Path) -> Result:
    """Writes `items/<suite>.jsonl`. Raises TrellisError for an item whose gold does not fit its own schema."""
    schemas = spec.input("schemas")
    sides = {
        "seen": list(read_records(schemas.path("training.jsonl"))),
        "unseen": list(read_records(schemas.path("held_out.jsonl"))),
    }
    metrics, rows = {}, {}
    for name, section in sorted(spec.config["suites"].items()):
        suite = SchemaSuite.model_validate(section)
        items = [
            item
            for split, count in (("seen", suite.seen), ("unseen", suite.unseen))
            for item in make_items(name, split, sides[split], count, spec.config["text_share"], suite.seed)
        ]
        check_gold(items)
        file = f"items/{name}.jsonl"
        rows[file] = write_records(out / file, items)
        metrics[name] = {
            split: {
                "items": sum(item["split"] == split for item in items),
                "clusters": len({item["cluster"] for item in items if item["split"] == split}),
                "with_gold": sum(item["split"] == split and item["gold"] is not None for item in items),
            }
            for split in sides
        }
    return Result({"suites": metrics}, rows)


def make_items(
    suite: str, split: str, schemas: list[dict[str, Any]], count: int, text_share: float, seed: int
) -> Iterator[dict[str, Any]]:
    """`count` items that take the schemas in turn; the first ones are the same for every count."""
    for index in range(count):
        schema = schemas[index % len(schemas)]
        rng = seeded(seed, suite, split, index)
        messages, instance, stated = make_task(schema["schema"], "evaluation", text_share, rng)
        yield {
            "id": f"{suite}-{split}-{index:05d}",
            "suite": suite,
            "split": split,
            "schema_id": schema["schema_id"],
            "cluster": schema["cluster"],
            "schema": schema["schema"],
            "messages": messages,
            "gold": instance if stated else None,
        }


def check_gold(items: list[dict[str, Any]]) -> None:
    """Raises TrellisError, naming the item, when a gold answer does not fit the item's schema."""
    for item in items:
        if item["gold"] is not None:
            validator = jsonschema_rs.validator_for(item["schema"], validate_formats=True)
            if (error := next(validator.iter_errors(item["gold"]), None)) is not None:
                raise TrellisError(
                    f"evaluate_items: the gold of item {item['id']} does not fit its schema: {error.message}"
                )
