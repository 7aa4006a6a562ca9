"""sft_data: schema-to-JSON conversations from the training side of the schema split."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from trellis.chat import answer_json, attach
from trellis.command import Result
from trellis.errors import TrellisError
from trellis.records import read_records, write_records
from trellis.schema_tasks import make_task, seeded
from trellis.spec import Spec


def run(spec: Spec, out: Path) -> Result:
    """Writes `train.jsonl`. Raises TrellisError when a training schema is left without an example."""
    config = spec.config
    schemas = list(read_records(spec.input("schemas").path("training.jsonl")))
    folder = spec.input("tokenizer").path("tokenizer/tokenizer.json").parent
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    attach(tokenizer)
    kept, too_long, tokens = [], 0, 0
    for example in make_examples(schemas, config["schema_examples"], config["text_share"], config["seed"]):
        length = len(tokenizer.apply_chat_template(example["messages"], return_dict=False))
        if length > config["max_length"]:
            too_long += 1
        else:
            kept.append(example)
            tokens += length
    # Evaluation calls these schemas seen.
    missing = {schema["schema_id"] for schema in schemas} - {example["schema_id"] for example in kept}
    if missing:
        raise TrellisError(
            f"sft.schema_examples: {config['schema_examples']} examples of at most {config['max_length']} tokens leave "
            f"{len(missing)} of {len(schemas)} training schemas unseen; ask for more examples, a larger "
            f"sft.training.max_length, or fewer evaluation.schemas.training"
        )
    write_records(out / "train.jsonl", kept)
    metrics = {
        "examples": len(kept),
        "schemas": len(schemas),
        "too_long": too_long,
        "tokens": tokens,
        "assistant_characters": sum(len(example["messages"][-1]["content"]) for example in kept),
    }
    return Result(metrics, {"train.jsonl": len(kept)})


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
