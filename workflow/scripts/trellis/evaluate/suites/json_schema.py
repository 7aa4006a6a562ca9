"""Real schemas, any valid instance of which is an answer that no constant is."""

from typing import Any

from trellis.evaluate.candidates import TIERS, Candidate, read_candidates
from trellis.evaluate.suites import Built
from trellis.evaluate.suites.schema import make_shots
from trellis.evaluate.validator import validator
from trellis.experiment.evaluation import JsonSchemaSuite
from trellis.records import read_records
from trellis.schema_tasks import prompt, seeded
from trellis.spec import Spec


def build(suite: JsonSchemaSuite, name: str, spec: Spec) -> Built:
    """All candidates of the origins, of which the first `items` that fit are taken."""
    found = read_candidates(suite.origins, spec.inputs_of("wheels"), spec.inputs_of("files"))
    items = [make_item(name, candidate) for candidate in in_turn(found.kept, suite.seed)]
    shots = make_shots(
        list(read_records(spec.input("schemas").path("training.jsonl"))), spec.config["shots"], 0.0, suite.seed
    )
    baselines = {
        "{}": sum(validator(item["schema"]).is_valid({}) for item in items) / max(len(items), 1),
        "{} before the filter": found.empty_fits / max(found.compiled, 1),
        "any of a dozen constants before the filter": found.left_out.get("constant", 0) / max(found.compiled, 1),
    }
    return Built(items, shots, suite.items, baselines)


def in_turn(candidates: list[Candidate], seed: int) -> list[Candidate]:
    """The tiers in turn for as long as they last, smallest first; within a tier one of each cluster before the second of
    any, in the order of a seeded hash."""
    queues: list[list[Candidate]] = []
    for tier in TIERS:
        order = sorted((c for c in candidates if c.tier == tier), key=lambda c: seeded(seed, c.id).random())
        taken: dict[str, int] = {}
        rounds = []
        for candidate in order:
            taken[candidate.cluster] = taken.get(candidate.cluster, 0) + 1
            rounds.append(taken[candidate.cluster])
        queues.append([order[place] for place in sorted(range(len(order)), key=rounds.__getitem__)])
    longest = max(map(len, queues), default=0)
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)]


def make_item(suite: str, candidate: Candidate) -> dict[str, Any]:
    return {
        "id": f"{suite}-{candidate.id}",
        "suite": suite,
        "kind": "json_schema",
        "split": "unseen",
        "stratum": candidate.tier,
        "cluster": candidate.cluster,
        "schema_id": candidate.id,
        "schema": candidate.schema,
        "messages": prompt(candidate.schema, None),
        "gold": None,
        "answer": None,
        "check": None,
    }
