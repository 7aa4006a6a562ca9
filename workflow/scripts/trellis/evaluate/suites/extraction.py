"""Records to be found in prose, all of them, in the order in which the text first names them.

| stratum | records | properties, with the name | distractors |
|---|---|---|---|
| one | 1 | 2 or 3 | |
| few | 2 or 3 | 3 or 4 | a scene or none, a correction or none |
| many | 4 to 6 | 4 or 5 | two scenes, a correction or two |

The sentences about all records stand in any order, so that those about one are apart. What is `one` fits the context of
a small model.
"""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from trellis.address import digest
from trellis.chat import answer_json
from trellis.evaluate.suites import Built
from trellis.evaluate.suites.passages import CORRECTIONS, DOMAINS, Domain, Field
from trellis.evaluate.suites.tellings import Choice, Name
from trellis.experiment.evaluation import ExtractionSuite
from trellis.schema_tasks import prompt, seeded
from trellis.spec import Spec

STRATA = ("one", "few", "many")
# By stratum [fewest, most]: records, fields beside the name, scenes, corrections.
SIZES = {
    "one": ((1, 1), (1, 2), (0, 0), (0, 0)),
    "few": ((2, 3), (2, 3), (0, 1), (0, 1)),
    "many": ((4, 6), (3, 4), (2, 2), (1, 2)),
}
# How many candidates there are for an item that is asked for: long ones do not fit a short context.
CANDIDATES = 16


class Sentence(NamedTuple):
    """What it says, and the record that it names, None for a scene."""

    text: str
    record: int | None


def build(suite: ExtractionSuite, name: str, spec: Spec) -> Built:
    """The strata in turn. The shots are of one record each."""
    shots = []
    for place in range(spec.config["shots"]):
        schema, text, records = make_task("one", seeded(suite.seed, "shots", place))
        shots.append({"messages": prompt(schema, text), "answer": answer_json(records)})
    return Built(make_items(suite, name), shots, suite.items, baselines={"{}": 0.0, "[]": 0.0})


def make_items(suite: ExtractionSuite, name: str) -> Iterator[dict[str, Any]]:
    """Candidates, in their order; the first ones are the same for every number of items."""
    for index in range(suite.items * CANDIDATES):
        stratum = STRATA[index % len(STRATA)]
        schema, text, records = make_task(stratum, seeded(suite.seed, name, index))
        schema_id = digest(schema)[:16]
        yield {
            "id": f"{name}-{index:05d}",
            "suite": name,
            "kind": "extraction",
            "split": "unseen",
            "stratum": stratum,
            "cluster": schema_id,
            "schema_id": schema_id,
            "schema": schema,
            "messages": prompt(schema, text),
            "gold": records,
            "answer": answer_json(records),
            "check": None,
        }


def make_task(stratum: str, rng: random.Random) -> tuple[dict[str, Any], str, list[dict[str, Any]]]:
    """(schema, text, the records that the text tells of)."""
    records, fields, scenes, corrections = SIZES[stratum]
    domain = rng.choice(DOMAINS)
    # In the domain's order, so that the same fields make the same schema.
    chosen = sorted(rng.sample(range(len(domain.fields)), rng.randint(*fields)))
    asked = [domain.fields[place] for place in chosen]
    names = rng.sample(domain.names, rng.randint(*records))
    drawn = [{domain.identity: name} | {each.name: each.kind.draw(rng) for each in asked} for name in names]
    sentences = [
        _sentence(rng.choice(each.sentences), domain, each, record, place, rng)
        for place, record in enumerate(drawn)
        for each in asked
    ]
    sentences += _corrections(domain, asked, drawn, rng.randint(*corrections), rng)
    sentences += [Sentence(scene, None) for scene in rng.sample(domain.scenes, rng.randint(*scenes))]
    rng.shuffle(sentences)
    named = dict.fromkeys(each.record for each in sentences if each.record is not None)
    text = " ".join(each.text for each in sentences)
    return make_schema(domain, asked, len(drawn)), text, [drawn[place] for place in named]


def make_schema(domain: Domain, fields: list[Field], records: int) -> dict[str, Any]:
    """An array of closed objects; where there are several, its description says which and in what order."""
    properties = {domain.identity: {"type": "string"}} | {each.name: each.kind.schema() for each in fields}
    order = {"description": f"all {domain.plural}, in the order in which the text first names them"}
    items = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "array", **(order if records > 1 else {}), "items": items}


def _sentence(
    form: str, domain: Domain, field: Field, record: dict[str, Any], place: int, rng: random.Random
) -> Sentence:
    told = field.kind.tell(record[field.name], rng)
    text = form.format(who=record[domain.identity], told=told)
    return Sentence(text[0].upper() + text[1:], place)


def _corrections(
    domain: Domain, fields: list[Field], records: list[dict[str, Any]], count: int, rng: random.Random
) -> Iterator[Sentence]:
    """Sentences that take back a value which is not the record's."""
    doubtful = [each for each in fields if not isinstance(each.kind, Choice | Name)]
    for place in rng.sample(range(len(records)), count) if doubtful else ():
        field = rng.choice(doubtful)
        while (other := field.kind.draw(rng)) == records[place][field.name]:
            pass
        wrong = {**records[place], field.name: other}
        yield _sentence(rng.choice(CORRECTIONS), domain, field, wrong, place, rng)
