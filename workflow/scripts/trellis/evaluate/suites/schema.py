"""Schema-to-JSON items of the pool: with training schemas and new values, and with held-out schemas."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from trellis.chat import answer_json
from trellis.evaluate.suites import Built
from trellis.evaluate.validator import validator
from trellis.experiment.evaluation import SchemaSuite
from trellis.records import read_records
from trellis.schema_tasks import make_task, seeded
from trellis.spec import Spec

SIDES = {"seen": "training", "unseen": "held_out"}
# How many schemas of the training side the shots are chosen from.
CHOICES = 64


def build(suite: SchemaSuite, name: str, spec: Spec) -> Built:
    """`seen` and `unseen` items, each taking the schemas of its side in turn."""
    pool, share = spec.input("schemas"), spec.config["text_share"]
    items: list[dict[str, Any]] = []
    for split, side in SIDES.items():
        schemas = list(read_records(pool.path(f"{side}.jsonl")))
        items += make_items(name, split, schemas, getattr(suite, split), share, suite.seed)
    empty = sum(item["gold"] in (None, {}) and validator(item["schema"]).is_valid({}) for item in items)
    # Schemas that no item asks for, where the training side has any.
    training = list(read_records(pool.path("training.jsonl")))
    shots = make_shots(training[suite.seen :] or training, spec.config["shots"], share, suite.seed)
    return Built(items, shots, baselines={"{}": empty / len(items)})


def make_items(
    suite: str, split: str, schemas: list[dict[str, Any]], count: int, text_share: float, seed: int
) -> Iterator[dict[str, Any]]:
    """`count` items that take the schemas in turn; the first ones are the same for every count."""
    for index in range(count):
        schema = schemas[index % len(schemas)]
        rng = seeded(seed, suite, split, index)
        messages, instance, stated = make_task(schema["schema"], schema["stratum"], "evaluation", text_share, rng)
        yield {
            "id": f"{suite}-{split}-{index:05d}",
            "suite": suite,
            "kind": "schema",
            "split": split,
            "stratum": schema["stratum"],
            "cluster": schema["cluster"],
            "schema_id": schema["schema_id"],
            "schema": schema["schema"],
            "messages": messages,
            "gold": instance if stated else None,
            "answer": answer_json(instance) if stated else None,
            "check": None,
        }


def make_shots(schemas: list[dict[str, Any]], count: int, text_share: float, seed: int) -> list[dict[str, Any]]:
    """The `count` shortest tasks with training values of CHOICES training schemas, no schema twice as long as there are
    others. Where some items state their values and some do not, so do the shots, in turn; fewer are the first of more."""
    chosen: list[dict[str, Any]] = []
    shares = [share for share, asked in ((1.0, text_share > 0), (0.0, text_share < 1)) if asked]
    tasks = [_short_tasks(schemas[:CHOICES], share, seed) for share in shares]
    used: Counter[int] = Counter()
    for number in range(count):
        ranked = tasks[number % len(tasks)]
        place = min(range(len(ranked)), key=lambda place: (used[ranked[place][0]], place))
        used[ranked[place][0]] += 1
        chosen.append(ranked[place][1])
    return chosen


def _short_tasks(schemas: list[dict[str, Any]], share: float, seed: int) -> list[tuple[int, dict[str, Any]]]:
    """(place of the schema, shot), the shortest first."""
    made = []
    for place, schema in enumerate(schemas):
        rng = seeded(seed, "shots", share, place)
        messages, instance, _ = make_task(schema["schema"], schema["stratum"], "training", share, rng)
        made.append((place, {"messages": messages, "answer": answer_json(instance)}))
    return sorted(made, key=lambda task: (len(task[1]["messages"][0]["content"]) + len(task[1]["answer"]), task[0]))
