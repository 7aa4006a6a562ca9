"""evaluate_generate: a model's greedy answers to every item; nothing is judged here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from trellis.command import Result
from trellis.device import hardware, pick_device
from trellis.experiment.evaluation import Generation
from trellis.progress import bar
from trellis.records import read_records, write_records
from trellis.spec import Spec


def run(spec: Spec, out: Path) -> Result:
    """Writes `generations.jsonl`, in the order of the items."""
    settings = Generation.model_validate(spec.config["generation"])
    device = pick_device(spec.machine)
    torch.set_num_threads(spec.threads)
    folder = spec.input("model").path("model/config.json").parent
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True).to(device).eval()

    items = [item for path in spec.input("items").paths("items/") for item in read_records(path)]
    room = model.config.max_position_embeddings - settings.max_new_tokens
    prompts = {
        item["id"]: tokenizer.apply_chat_template(item["messages"], add_generation_prompt=True, return_dict=False)
        for item in items
    }
    # A prompt that leaves no room for an answer stays an item, with an empty answer.
    outputs = {key: ("", len(ids), 0, "length") for key, ids in prompts.items() if len(ids) > room}
    fitting = {key: ids for key, ids in prompts.items() if len(ids) <= room}
    with bar(f"generate {spec.name}", len(items), "items") as progress:
        progress.advance(len(outputs))
        for batch in batches(fitting, settings.batch):
            outputs |= generate(model, tokenizer, batch, settings.max_new_tokens)
            progress.advance(len(batch))

    fields = ("output", "n_in", "n_out", "stop")
    records = [{"id": item["id"], **dict(zip(fields, outputs[item["id"]], strict=True))} for item in items]
    rows = write_records(out / "generations.jsonl", records)
    metrics = {
        "items": rows,
        "over_context": len(items) - len(fitting),
        "new_tokens": sum(record["n_out"] for record in records),
        "stopped": {stop: sum(record["stop"] == stop for record in records) for stop in ("eos", "length")},
        "dtype": str(dtype).removeprefix("torch."),
    }
    return Result(metrics, {"generations.jsonl": rows}, hardware(device))


def batches(prompts: dict[str, list[int]], size: int) -> Iterator[dict[str, list[int]]]:
    """Prompts of similar length together, the same way every time: batching moves logits in their last digits."""
    keys = sorted(prompts, key=lambda key: (len(prompts[key]), key))
    for start in range(0, len(keys), size):
        yield {key: prompts[key] for key in keys[start : start + size]}


@torch.inference_mode()
def generate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: dict[str, list[int]], max_new_tokens: int
) -> dict[str, tuple[str, int, int, str]]:
    """Greedy answers up to the end of the turn: (text, prompt tokens, new tokens, "eos" or "length") by id."""
    padded = tokenizer.pad({"input_ids": list(prompts.values())}, return_tensors="pt").to(model.device)
    answers = model.generate(
        **padded,
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )[:, padded["input_ids"].shape[1] :].tolist()
    made: dict[str, tuple[str, int, int, str]] = {}
    for (key, prompt), answer in zip(prompts.items(), answers, strict=True):
        stopped = tokenizer.eos_token_id in answer
        tokens: list[int] = answer[: answer.index(tokenizer.eos_token_id)] if stopped else answer
        text: Any = tokenizer.decode(tokens, skip_special_tokens=True)
        made[key] = (text, len(prompt), len(tokens) + stopped, "eos" if stopped else "length")
    return made
