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
from trellis.experiment.sft import SftHubSet
from trellis.manifest import WORK
from trellis.records import read_records, write_records
from trellis.schema_tasks import make_task, seeded
from trellis.sft.conversation import Message
from trellis.sft.sets import sample
from trellis.spec import Spec


def run(spec: Spec, out: Path) -> Result:
    """Writes `train.jsonl`. Raises TrellisError when a training schema is left without an example, or when a set has fewer
    examples than are asked for."""
    config = spec.config
    schemas = list(read_records(spec.input("schemas").path("training.jsonl")))
    folder = spec.input("tokenizer").path("tokenizer/tokenizer.json").parent
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    attach(tokenizer)

    def measure(messages: list[Message]) -> int:
        return len(tokenizer.apply_chat_template(messages, return_dict=False))

    rules = Decontamination.model_validate(config["decontamination"])
    reference, leaks = Reference.load(spec.input("schemas").path("reference.jsonl"), rules), []

    def gives_away(example: dict[str, Any]) -> bool:
        """Notes a conversation that gives an evaluation text away; whether it is to be left out."""
        (hit,) = reference.hits(["\n".join(turn["content"] for turn in example["messages"])])
        if hit:
            leaks.append({"id": example["id"], "gives_away": hit.id, "suite": hit.suite, "how": hit.how})
        return hit is not None and rules.remove

    kept, too_long, tokens = [], 0, 0
    for example in make_examples(schemas, config["schema_examples"], config["text_share"], config["seed"]):
        length = measure(example["messages"])
        if length > config["max_length"]:
            too_long += 1
        elif not gives_away(example):
            kept.append(example)
            tokens += length
    # Evaluation calls these schemas seen.
    missing = {schema["schema_id"] for schema in schemas} - {example["schema_id"] for example in kept}
    if missing:
        raise TrellisError(
            f"sft.schema_examples: {config['schema_examples']} examples of at most {config['max_length']} tokens, "
            f"{len(leaks)} contaminated ones left out, leave {len(missing)} of {len(schemas)} training schemas unseen; "
            f"ask for more examples, a larger sft.training.max_length, or fewer evaluation.schemas.training"
        )
    sets, scratch = {}, out / WORK / "set.jsonl"
    scratch.parent.mkdir(exist_ok=True)
    chosen = map(SftHubSet.model_validate, config["hub"])
    for each, fetched in zip(chosen, spec.inputs_of("sets"), strict=True):
        drawn, sets[fetched.metrics["repo"]] = sample(
            each, fetched, config["seed"], config["max_length"], measure, gives_away, scratch
        )
        kept += drawn
    write_records(out / "train.jsonl", kept)
    write_records(out / "contaminated.jsonl", leaks)
    turns = [turn for example in kept for turn in example["messages"] if turn["role"] == "assistant"]
    metrics = {
        "examples": len(kept),
        "schemas": len(schemas),
        "too_long": too_long + sum(found["too_long"] for found in sets.values()),
        "tokens": tokens + sum(found["tokens"] for found in sets.values()),
        "assistant_characters": sum(len(turn["content"]) for turn in turns),
        "sets": sets,
        "contaminated": dict(sorted(Counter(leak["suite"] for leak in leaks).items())),
    }
    return Result(metrics, {"train.jsonl": len(kept), "contaminated.jsonl": len(leaks)})


def make_examples(schemas: list[dict[str, Any]], count: int, text_share: float, seed: int) -> Iterator[dict[str, Any]]:
    """`count` conversations that take the schemas in turn; the first ones are the same for every count."""
    for index in range(count):
        schema = schemas[index % len(schemas)]
        rng = seeded(seed, "sft", index)
        messages, instance, _ = make_task(schema["schema"], "training", text_share, rng)
        yield {
            "id": f"schema-{index:06d}",
            "schema_id": schema["schema_id"],
            "messages": [*messages, {"role": "assistant", "content": answer_json(instance)}],
        }
