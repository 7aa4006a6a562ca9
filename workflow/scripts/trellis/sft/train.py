"""sft_train: full fine-tuning of one model with TRL's SFTTrainer, and a record of what it was really trained on."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import datasets
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from trellis.chat import attach
from trellis.command import Result
from trellis.device import deterministic, hardware, pick_device
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.experiment.sft import CHATML_TOKENS, SftTraining
from trellis.manifest import WORK, file_sha256
from trellis.records import read_records, write_records
from trellis.sft.embedding import start_at_mean
from trellis.sft.order import training_order
from trellis.sft.trainer import Trainer
from trellis.spec import Spec


def run(spec: Spec, out: Path) -> Result:
    """Writes `model/` and `metrics.jsonl`. Raises TrellisError when SIGTERM stops it, when memory or the disk runs out,
    when a loss is not finite, or when it would fall on other tokens than the assistant's; run again, it goes on."""
    training, template = SftTraining.model_validate(spec.config["training"]), spec.config["template"]
    device = pick_device(spec.machine)
    torch.set_num_threads(spec.threads)
    datasets.disable_progress_bars()

    base, data = spec.input("base").path("model/config.json").parent, spec.input("data").path("train.jsonl")
    tokenizer = AutoTokenizer.from_pretrained(base)
    attach(tokenizer, template)
    tokenizer.pad_token = END_OF_TEXT
    model = _load(base, device)
    if template == "chatml":
        start_at_mean(model, tokenizer, CHATML_TOKENS)
    examples = list(read_records(data))
    order = training_order(examples, training.epochs, training.batch, training.seeds[0])
    identity = {"fingerprint": spec.fingerprint, "data_sha256": file_sha256(data)}
    trainer = Trainer(model, tokenizer, [examples[index] for index in order], training, device, out / WORK, identity)
    try:
        with deterministic(device.type == "cuda"):
            trainer.fit(spec.name)
    except torch.OutOfMemoryError:
        raise _too_large(training) from None
    lines = trainer.lines
    try:
        _export(model, tokenizer, out / "model")
        write_records(out / "metrics.jsonl", lines)
    except (OSError, SafetensorError) as error:
        raise TrellisError(
            f"sft: the model could not be written to {out} ({error}); its last checkpoint is kept: make room and run again"
        ) from None

    tenth = max(len(lines) // 10, 1)
    metrics = {
        "parameters": model.num_parameters(),
        "trained_parameters": model.num_parameters(only_trainable=True),
        "steps": len(lines),
        **asdict(trainer.record),
        "data_sha256": identity["data_sha256"],
        "tokenizer_sha256": _sha256(tokenizer.backend_tokenizer.to_str()),
        "template": {"name": template, "sha256": _sha256(tokenizer.chat_template)},
        "hyperparameters": trainer.hyperparameters,
        "first_loss": fmean(line["loss"] for line in lines[:tenth]),
        "final_loss": fmean(line["loss"] for line in lines[-tenth:]),
    }
    return Result(metrics, {"metrics.jsonl": len(lines)}, hardware(device))


def _load(base: Path, device: torch.device) -> PreTrainedModel:
    model = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=torch.float32,
        use_safetensors=True,
        # On processors the fused kernel's backward pass is slower than plain matrices at these lengths.
        attn_implementation="eager" if device.type == "cpu" else "sdpa",
    )
    # transformers' Llama learns no embedding for what its configuration calls padding, and with us that token ends turns.
    model.get_input_embeddings().padding_idx = None
    return model


def _export(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Writes what transformers loads without any code of ours. Only the generation config says what pads: in the model's
    own, it would keep whoever trains this model further from learning its embedding."""
    model.config.pad_token_id = None
    # The cache only costs memory in training; whoever generates wants it.
    model.config.use_cache = True
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _too_large(training: SftTraining) -> TrellisError:
    """What to do when memory ran out: smaller micro-batches as long as there are any."""
    remedy = "take a GPU with more memory, or a smaller model"
    if training.micro_batch > 1:
        remedy = f"set sft.training.micro_batch to {training.micro_batch // 2}"
    return TrellisError(
        f"sft: the GPU's memory does not hold micro-batches of {training.micro_batch} examples of up to "
        f"{training.max_length} tokens; {remedy}, and run again: results stay the same up to rounding, and the last "
        f"checkpoint is kept"
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
