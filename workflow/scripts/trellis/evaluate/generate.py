"""evaluate_generate: a model's greedy answers to a suite's items, and how likely it finds the right ones; nothing is judged."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from trellis.command import Result
from trellis.device import hardware, pick_device
from trellis.errors import TrellisError
from trellis.evaluate.batches import Batches, Records
from trellis.evaluate.decoding import Decoder
from trellis.evaluate.likelihood import Pair, nats
from trellis.evaluate.prompting import Prompt, answer_ids, load_tokenizer, prompts
from trellis.experiment.evaluation import Generation, Mode
from trellis.manifest import WORK
from trellis.records import read_records, write_records
from trellis.spec import Spec

# Items that float32 answers as well, where a model answers in bfloat16.
CHECKED = 64
STOPS = ("eos", "length", "room", "grammar", "grammar_length")


def run(spec: Spec, out: Path) -> Result:
    """Writes `generations.jsonl` and `likelihoods.jsonl`. Raises TrellisError when the GPU's memory does not hold a batch."""
    settings, base = Generation.model_validate(spec.config["generation"]), spec.config["base"]
    device = pick_device(spec.machine)
    dtype = precision(device)
    torch.set_num_threads(spec.threads)
    given, folder = spec.input("items"), spec.input("model").path("model/config.json").parent
    items = list(read_records(given.path("items.jsonl")))
    shots = list(read_records(given.path("shots.jsonl"))) if base else []
    schemas = {item["id"]: item["schema"] for item in items if item["schema"] is not None}
    tokenizer = load_tokenizer(folder, spec.config["template"] if base else None)

    load = partial(Decoder, folder, tokenizer, device, settings.max_new_tokens)
    batches = Batches(out / WORK / spec.fingerprint / str(dtype), settings.batch, f"generate {spec.name}")
    with enough_memory(settings):
        decoder = load(dtype)
        room = decoder.context - settings.max_new_tokens
        golds = gold_tokens(items, tokenizer)
        # Shots make way for the gold, too, so that base models have a likelihood wherever fine-tuned ones do.
        rooms = [min(room, decoder.context - len(golds.get(item["id"], ()))) for item in items]
        asked = list(prompts(items, shots, settings.shots, tokenizer, rooms))
        fitting = [prompt for prompt in asked if len(prompt) <= room]
        answers = answer(decoder, batches, fitting, schemas, settings.modes)
        likely = likelihoods(decoder, batches, asked, golds, items)
        rates = {mode: round(decoder.tokens[mode] / seconds, 1) for mode, seconds in decoder.seconds.items()}
        del decoder
        identical = None
        if dtype != torch.float32 and "free" in answers:
            identical = identical_share(load(torch.float32), batches, fitting, answers["free"])

    records = list(generations(asked, answers, schemas))
    rows = {
        name: write_records(out / name, lines)
        for name, lines in (("generations.jsonl", records), ("likelihoods.jsonl", likely))
    }
    metrics = {
        "kind": items[0]["kind"],
        "items": len(items),
        "modes": {mode: summary([record for record in records if record["mode"] == mode]) for mode in answers},
        "likelihoods": {"items": len(likely), "over_context": sum(line["nats"] is None for line in likely)},
        "dtype": str(dtype).removeprefix("torch."),
        "identical_in_float32": identical,
    }
    return Result(metrics, rows, {"tokens_per_second": rates, **hardware(device)})


def precision(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU; float32 on a processor, few of which have units for anything less."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


@contextlib.contextmanager
def enough_memory(settings: Generation) -> Iterator[None]:
    """Says what to do when a batch is too large for the GPU."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise TrellisError(
            f"evaluate_generate: the GPU's memory does not hold {settings.batch} prompts with {settings.max_new_tokens} new "
            f"tokens each; lower evaluation.generation.batch"
        ) from None


def answer(
    decoder: Decoder, batches: Batches, fitting: list[Prompt], schemas: dict[str, Any], modes: list[Mode]
) -> dict[Mode, Records]:
    """The answers by mode and item. Where a schema cannot be followed, the free answer stands, which is why the constrained
    ones are made first: without the mode free, these are all the free answers that are made."""
    answers: dict[Mode, Records] = {}
    held: Records = {}
    if "constrained" in modes:
        followed = [prompt for prompt in fitting if prompt.id in schemas]
        held = batches.make("constrained", followed, lambda batch: decoder.constrained(batch, schemas))
    left = {key for key, made in held.items() if made["stop"] == "grammar"}
    free = batches.make("free", [p for p in fitting if "free" in modes or p.id in left], decoder.free)
    if "free" in modes:
        answers["free"] = free
    if "constrained" in modes:
        answers["constrained"] = held | {key: instead(free[key]) for key in left}
    return answers


def instead(free: dict[str, Any]) -> dict[str, Any]:
    """A free answer in the place of one that a grammar should have held, which says whether it was cut off all the same."""
    return {**free, "stop": "grammar_length" if free["stop"] == "length" else "grammar"}


def generations(asked: list[Prompt], answers: dict[Mode, Records], schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The lines of generations.jsonl; a prompt that was not answered had no room."""
    unanswered = {"output": "", "n_out": 0, "stop": "room"}
    for mode, made in answers.items():
        for prompt in asked:
            if mode == "free" or prompt.id in schemas:
                found = made.get(prompt.id, unanswered)
                yield {
                    "id": prompt.id,
                    "mode": mode,
                    "output": found["output"],
                    "n_in": len(prompt),
                    "n_out": found["n_out"],
                    "stop": found["stop"],
                    "shots": prompt.shots,
                }


def gold_tokens(items: list[dict[str, Any]], tokenizer: PreTrainedTokenizerFast) -> dict[str, list[int]]:
    """The right answers by item, where there are any."""
    return {item["id"]: answer_ids(tokenizer, item["answer"]) for item in items if item["answer"] is not None}


def likelihoods(
    decoder: Decoder, batches: Batches, asked: list[Prompt], golds: dict[str, list[int]], items: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The lines of likelihoods.jsonl."""
    pairs = [Pair(prompt.id, prompt.ids, golds[prompt.id]) for prompt in asked if prompt.id in golds]
    made = batches.make(
        "likelihoods",
        [pair for pair in pairs if len(pair) <= decoder.context],
        lambda batch: [
            {"id": pair.id, "nats": value} for pair, value in zip(batch, nats(decoder.model, batch), strict=True)
        ],
    )
    return [
        {"id": item["id"], "nats": made.get(item["id"], {}).get("nats"), "bytes": len(item["answer"].encode())}
        for item in items
        if item["id"] in golds
    ]


def identical_share(exact: Decoder, batches: Batches, fitting: list[Prompt], free: Records) -> float | None:
    """The share of CHECKED free outputs, the first by the hash of their ids, that another precision gives, too."""
    chosen = sorted(fitting, key=lambda prompt: hashlib.sha256(prompt.id.encode()).digest())[:CHECKED]
    made = batches.make("float32", chosen, exact.free)
    same = [free[key]["output"] == record["output"] for key, record in made.items()]
    return sum(same) / len(same) if same else None


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one mode's records."""
    stopped = Counter(record["stop"] for record in records)
    return {
        "items": len(records),
        "new_tokens": sum(record["n_out"] for record in records),
        "stopped": {stop: stopped[stop] for stop in STOPS},
    }
