"""sft_train: full fine-tuning of one model with TRL's SFTTrainer, and a record of what it was really trained on."""

import math
from pathlib import Path
from statistics import fmean
from typing import Any

import datasets
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from trellis.chat import attach
from trellis.command import Result
from trellis.device import autocast, hardware, pick_device
from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.experiment.sft import SftTraining
from trellis.manifest import WORK, file_sha256
from trellis.progress import Bar, bar
from trellis.records import read_records, write_records
from trellis.sft.order import order_sha256, training_order
from trellis.spec import Spec

IGNORED = -100
# Lengths are rounded up to these, so that few shapes occur: oneDNN keeps compiled kernels and memory for each of them.
LENGTH, PLACES = 16, 128


def run(spec: Spec, out: Path) -> Result:
    """Writes `model/` and `metrics.jsonl`. Raises TrellisError when the loss is not finite, or fell on other tokens than
    the assistant's."""
    training = SftTraining.model_validate(spec.config["training"])
    device = pick_device(spec.machine)
    torch.set_num_threads(spec.threads)
    datasets.disable_progress_bars()

    base = spec.input("base").path("model/config.json").parent
    tokenizer = AutoTokenizer.from_pretrained(base)
    attach(tokenizer)
    model = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=torch.float32,
        use_safetensors=True,
        # On processors the fused kernel's backward pass is slower than plain matrices at these lengths.
        attn_implementation="eager" if device.type == "cpu" else "sdpa",
    )
    data = spec.input("data").path("train.jsonl")
    examples = list(read_records(data))
    order = training_order(examples, training.epochs, training.batch, training.seeds[0])

    recorder = Recorder(tokenizer)
    steps = math.ceil(len(order) / training.batch)
    with bar(f"sft {spec.name}", steps, "steps") as progress:
        log = Log(recorder, progress)
        trainer = Trainer(
            model=model,
            args=arguments(training, steps, out / WORK, use_cpu=device.type == "cpu"),
            train_dataset=datasets.Dataset.from_list([examples[index] for index in order]),
            processing_class=tokenizer,
            data_collator=recorder,
            callbacks=[log],
        )
        trainer.mixed_precision = (device, training.precision)
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")
    write_records(out / "metrics.jsonl", log.lines)
    tenth = max(len(log.lines) // 10, 1)
    metrics = {
        "parameters": model.num_parameters(),
        "examples": len(recorder.ids),
        "tokens": sum(recorder.tokens),
        "assistant_tokens": recorder.assistant_tokens,
        "steps": len(log.lines),
        "data_sha256": file_sha256(data),
        "order_sha256": order_sha256(recorder.ids),
        "first_loss": fmean(line["loss"] for line in log.lines[:tenth]),
        "final_loss": fmean(line["loss"] for line in log.lines[-tenth:]),
    }
    return Result(metrics, {"metrics.jsonl": len(log.lines)}, hardware(device))


def arguments(training: SftTraining, steps: int, work: Path, use_cpu: bool) -> SFTConfig:
    """The trainer's settings: nothing leaves the process, nothing but the final model is kept."""
    micro_batch = max(d for d in range(1, training.micro_batch + 1) if training.batch % d == 0)
    warmup, schedule = round(training.warmup_share * steps), {}
    if training.schedule == "warmup_stable_decay":
        schedule = {"num_decay_steps": round(training.decay_share * steps), "decay_type": "linear"}
    return SFTConfig(
        output_dir=str(work),
        seed=training.seeds[0],
        # The order already holds every epoch.
        num_train_epochs=1,
        train_sampling_strategy="sequential",
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=training.batch // micro_batch,
        assistant_only_loss=True,
        packing=False,
        max_length=training.max_length,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.schedule,
        lr_scheduler_kwargs=schedule,
        warmup_steps=warmup,
        adam_beta1=training.betas[0],
        adam_beta2=training.betas[1],
        weight_decay=training.weight_decay,
        max_grad_norm=training.clip,
        # Precision is the stage's own autocast, as in pretraining.
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=use_cpu,
        full_determinism=not use_cpu,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
    )


class Trainer(SFTTrainer):
    """SFTTrainer under the workflow's own autocast, with logits only where there is a loss.

    Most tokens are the prompt's; their logits would cost more than the rest of a small model.
    """

    mixed_precision: tuple[torch.device, str]

    def compute_loss_context_manager(self):
        return autocast(*self.mixed_precision)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Cross-entropy summed over the micro-batch's assistant tokens, over their number in the whole batch."""
        targets = torch.nn.functional.pad(inputs["labels"][:, 1:], (0, 1), value=IGNORED).flatten()
        trained = (targets != IGNORED).nonzero().flatten()
        places = torch.nn.functional.pad(trained, (0, -len(trained) % PLACES))
        targets = torch.nn.functional.pad(targets[trained], (0, -len(trained) % PLACES), value=IGNORED)
        hidden = model.base_model(inputs["input_ids"], use_cache=False).last_hidden_state.flatten(0, 1)
        logits = model.get_output_embeddings()(hidden[places]).float()
        hits = (logits.argmax(-1) == targets).sum() / len(trained)
        self._metrics["train"]["mean_token_accuracy"].append(hits.item())
        return torch.nn.functional.cross_entropy(logits, targets, reduction="sum") / num_items_in_batch


class Recorder(DataCollatorForLanguageModeling):
    """TRL's collator, which notes what goes into every micro-batch and checks where the loss falls."""

    def __init__(self, tokenizer) -> None:
        super().__init__(pad_token_id=tokenizer.pad_token_id, pad_to_multiple_of=LENGTH)
        self.tokenizer = tokenizer
        self.ids: list[str] = []
        self.tokens: list[int] = []
        self.assistant_tokens = 0

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        for example in examples:
            trained = [token for token in example["labels"] if token != IGNORED]
            turns = [m["content"] for m in example["messages"] if m["role"] == "assistant"]
            answer = "".join(turn.replace(END_OF_TEXT, " ") + END_OF_TEXT for turn in turns)
            # A prefix, and perhaps half a character, because an example may have been cut at max_length.
            if not answer.startswith(self.tokenizer.decode(trained).rstrip("\ufffd")):
                raise TrellisError(
                    f"sft: in example {example['id']} the loss falls on more than the assistant's tokens"
                )
            self.ids.append(example["id"])
            self.assistant_tokens += len(trained)
        self.tokens.append(sum(len(example["input_ids"]) for example in examples))
        batch = super().torch_call(examples)
        # Padding is on the right, where causal attention never looks: without a mask the fast kernels apply.
        del batch["attention_mask"]
        return batch


class Log(TrainerCallback):
    """One line a step, and the progress bar."""

    def __init__(self, recorder: Recorder, progress: Bar) -> None:
        self.recorder, self.progress, self.lines = recorder, progress, []

    def on_log(self, args, state, control, logs: dict[str, Any] | None = None, **_) -> None:
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise TrellisError(
                f"sft: the loss at step {state.global_step} is {logs['loss']}; lower sft.training.learning_rate"
            )
        # The loader reads ahead, so tokens are counted up to this step, not up to now.
        batches = state.global_step * args.gradient_accumulation_steps
        self.lines.append(
            {
                "step": state.global_step,
                "tokens": sum(self.recorder.tokens[:batches]),
                "loss": logs["loss"],
                "lr": logs["learning_rate"],
                "grad_norm": logs["grad_norm"],
                "token_accuracy": logs["mean_token_accuracy"],
            }
        )
        self.progress.advance(note=f"loss {logs['loss']:.3f}")
