"""sft_data: schema-to-JSON conversations from the training side of the schema split, and samples of sets on the hub."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from trellis.chat import answer_json, attach
from trellis.command import Result
from trellis.contamination import Reference
from trellis.errors import TrellisError
from trellis.experiment.decontamination import Decontamination
from trellis.experiment.evaluation import Distance
from trellis.experiment.sft import SftHubSet
from trellis.manifest import WORK
from trellis.records import read_records, write_records
from trellis.schema_tasks import make_task, seeded
from trellis.sft.components import Components
from trellis.sft.conversation import Message
from trellis.sft.formats import names_format
from trellis.sft.sets import convert, sample
from trellis.spec import Spec

TOKENIZER = "tokenizer/tokenizer.json"
REASONS = ("too_long", "similar", "contaminated")


def run(spec: Spec, out: Path) -> Result:
    """Writes `train.jsonl`. Raises TrellisError when a training schema is left without an example, or when a set has fewer
    examples than are asked for."""
    config = spec.config
    schemas, reference = spec.input("schemas"), spec.input("schemas").path("reference.jsonl")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(spec.input("tokenizer").path(TOKENIZER).parent)
    attach(tokenizer, config["template"])

    def measure(messages: list[Message]) -> int:
        return len(tokenizer.apply_chat_template(messages, return_dict=False))

    rules = Decontamination.model_validate(config["decontamination"])
    leaks = Leaks(Reference.load(reference, rules), rules.remove)
    components = Components(reference, Distance.model_validate(config["distance"]).component)

    pool = list(read_records(schemas.path("training.jsonl")))
    made = list(make_examples(pool, config["schema_examples"], config["text_share"], config["seed"]))
    for example in made:
        components.add(example)
    (out / WORK).mkdir(exist_ok=True)
    sets = [
        convert(SftHubSet.model_validate(each), fetched, config["seed"], out / WORK / f"{n}.jsonl", components.add)
        for n, (each, fetched) in enumerate(zip(config["hub"], spec.inputs_of("sets"), strict=True))
    ]
    # Before anything is drawn: where too few rows can be used, it tells which could not.
    set_aside = [row for each in sets for row in each.set_aside]
    write_records(out / "set_aside.jsonl", set_aside)
    connected = components.connected() if rules.remove else set()
    left_out = {"similar": lambda example: example["id"] in connected, "contaminated": leaks.leave_out}

    kept, counts = _fitting(made, config["max_length"], measure, left_out)
    # Evaluation calls these schemas seen.
    missing = {schema["schema_id"] for schema in pool} - {example["schema_id"] for example in kept}
    if missing:
        raise TrellisError(
            f"sft.mixes: schema_examples: {config['schema_examples']} examples of at most {config['max_length']} tokens "
            f"(left out: {counts['too_long']} too long, {counts['similar']} similar, {counts['contaminated']} contaminated) "
            f"leave {len(missing)} of {len(pool)} training schemas unseen; ask for more examples, a larger "
            f"sft.training.max_length, or fewer evaluation.schemas.training"
        )
    # The schema examples are JSON from end to end; a property called `csv` shows nothing of the format.
    left_out = {"format": names_format, **left_out}
    drawn = {}
    for each, fetched in zip(sets, spec.inputs_of("sets"), strict=True):
        examples, drawn[fetched.metrics["repo"]] = sample(each, config["max_length"], measure, left_out)
        kept += examples
    write_records(out / "train.jsonl", kept)
    write_records(out / "contaminated.jsonl", leaks.found)
    turns = [turn for example in kept for turn in example["messages"] if turn["role"] == "assistant"]
    metrics = {
        "examples": len(kept),
        "schemas": len(pool),
        "too_long": counts["too_long"] + sum(found["too_long"] for found in drawn.values()),
        "format": sum(found["format"] for found in drawn.values()),
        "similar": counts["similar"] + sum(found["similar"] for found in drawn.values()),
        "tokens": counts["tokens"] + sum(found["tokens"] for found in drawn.values()),
        "assistant_characters": sum(len(turn["content"]) for turn in turns),
        "sets": drawn,
        "contaminated": dict(sorted(Counter(leak["suite"] for leak in leaks.found).items())),
    }
    rows = {"train.jsonl": len(kept), "set_aside.jsonl": len(set_aside), "contaminated.jsonl": len(leaks.found)}
    return Result(metrics, rows)


class Leaks:
    """Conversations that give an evaluation text away: noted, and left out if `remove`."""

    def __init__(self, reference: Reference, remove: bool) -> None:
        self.reference, self.remove = reference, remove
        self.found: list[dict[str, str]] = []

    def leave_out(self, example: dict[str, Any]) -> bool:
        """Whether this example is not to be trained on."""
        (hit,) = self.reference.hits(["\n".join(turn["content"] for turn in example["messages"])])
        if hit:
            self.found.append({"id": example["id"], "gives_away": hit.id, "suite": hit.suite, "how": hit.how})
        return hit is not None and self.remove


def _fitting(examples, max_length: int, measure, left_out) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The examples that may be trained on; how many may not, by reason, and how many tokens the others have."""
    kept, counts = [], Counter(dict.fromkeys(REASONS, 0), tokens=0)
    for example in examples:
        length = measure(example["messages"])
        against = (reason for reason, holds in left_out.items() if holds(example))
        if reason := "too_long" if length > max_length else next(against, None):
            counts[reason] += 1
        else:
            kept.append(example)
            counts["tokens"] += length
    return kept, counts


def make_examples(schemas: list[dict[str, Any]], count: int, text_share: float, seed: int) -> Iterator[dict[str, Any]]:
    """`count` conversations that take the schemas in turn; the first ones are the same for every count."""
    for index in range(count):
        schema = schemas[index % len(schemas)]
        rng = seeded(seed, "sft", index)
        messages, instance, _ = make_task(schema["schema"], schema["stratum"], "training", text_share, rng)
        yield {
            "id": f"schema-{index:06d}",
            "schema_id": schema["schema_id"],
            "messages": [*messages, {"role": "assistant", "content": answer_json(instance)}],
        }
