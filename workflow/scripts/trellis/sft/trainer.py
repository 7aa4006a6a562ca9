"""TRL's SFTTrainer as this stage runs it: its loss, what it refuses, and its checkpoint as one file of ours."""

import dataclasses
import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME
from trl import SFTTrainer

from trellis import checkpoint
from trellis.checkpoint import told_to_stop
from trellis.device import autocast
from trellis.errors import TrellisError
from trellis.experiment.sft import SftTraining
from trellis.manifest import write_atomically
from trellis.progress import bar
from trellis.sft.arguments import arguments, held
from trellis.sft.recorder import IGNORED, Record, Recorder

LOG = logging.getLogger("trellis")
# As with lengths: the number of logits is rounded up to this, so that few shapes occur.
PLACES = 128


class Trainer(SFTTrainer):
    """SFTTrainer under the workflow's own autocast, with logits only where there is a loss, and with one checkpoint of ours.

    Most tokens are the prompt's; their logits would cost more than the rest of a small model. What transformers would keep
    is pickled; here all that a run consists of lies in one file: weights, the optimizer's moments, the state of torch's
    generators, the schedule, the log and the record.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        examples: list[dict[str, Any]],
        training: SftTraining,
        device: torch.device,
        work: Path,
        identity: dict[str, str],
    ) -> None:
        """`examples` in their order, all epochs of them. Raises TrellisError when `work` holds a checkpoint that is damaged,
        or not this run's by `identity`."""
        self.work, self.identity, self.training = work, identity, training
        self.kept = checkpoint.load(work, identity)
        self.done = self.kept["trainer"]["global_step"] if self.kept else 0
        self.mixed_precision = (device, training.precision)
        self.random: dict[str, torch.Tensor] = {}
        before = Record(**self.kept["record"]) if self.kept else Record()
        self.recorder = Recorder(tokenizer, training.max_length, before)
        steps = math.ceil(len(examples) / training.batch)
        super().__init__(
            model=model,
            args=arguments(training, steps, work, use_cpu=device.type == "cpu"),
            train_dataset=Dataset.from_list(examples),
            processing_class=tokenizer,
            data_collator=self.recorder,
            callbacks=[Saving(self)],
        )
        self.remove_callback(PrinterCallback)

    def fit(self, name: str) -> None:
        """Trains to the last step, from the checkpoint if there is one. Raises TrellisError when SIGTERM stops it, when a
        loss is no number or when nothing more can be written; run again, it goes on."""
        folder = None
        if self.kept:
            # The one part that transformers reads from a file of its own.
            write_atomically(self.work / TRAINER_STATE_NAME, json.dumps(self.kept["trainer"]))
            folder = str(self.work)
            LOG.info("going on from the checkpoint of step %d", self.done)
        total = math.ceil(len(self.train_dataset) / self.training.batch)
        with bar(f"sft {name}", total - self.done, "steps") as self.progress, told_to_stop() as self.received:
            self.saved = time.monotonic()
            self.train(resume_from_checkpoint=folder)

    @property
    def record(self) -> Record:
        """Of what was trained on up to now."""
        batches = (self.state.global_step - self.done) * self.args.gradient_accumulation_steps
        # The last step may have fewer.
        return self.recorder.records[: batches + 1][-1]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Of every step: step, tokens up to then, loss, lr, grad_norm, token_accuracy."""
        return [
            {
                "step": logs["step"],
                "tokens": logs["tokens"],
                "loss": logs["loss"],
                "lr": logs["learning_rate"],
                "grad_norm": logs["grad_norm"],
                "token_accuracy": logs["mean_token_accuracy"],
            }
            for logs in self.state.log_history
            if "loss" in logs
        ]

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What the arguments held, the batch, and the precision that this machine computes in."""
        mixed = isinstance(autocast(*self.mixed_precision), torch.autocast)
        return {
            "batch": self.get_total_train_batch_size(self.args),
            "precision": self.training.precision if mixed else "float32",
            **held(self.args),
        }

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

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Raises TrellisError for a loss or a gradient that is no number, before a checkpoint could keep what came of it."""
        if "loss" in logs:
            if not (math.isfinite(logs["loss"]) and math.isfinite(logs["grad_norm"])):
                last = self.state.global_step * self.training.batch
                names = self.train_dataset[last - self.training.batch : last]["id"]
                raise TrellisError(
                    f"sft: the loss is {logs['loss']:.4g} and the gradient norm {logs['grad_norm']:.4g} at step "
                    f"{self.state.global_step}, which read {', '.join(names[:4])}, ...; the last good checkpoint is kept in "
                    f"{self.work}; lower sft.training.learning_rate or look at these examples"
                )
            logs["tokens"] = self.record.tokens
            self.progress.advance(note=f"loss {logs['loss']:.3f}")
        super().log(logs, start_time)

    def due(self) -> bool:
        """Whether a checkpoint is to be written after this step."""
        overdue = time.monotonic() - self.saved > 60 * self.training.checkpoint_minutes
        return overdue or bool(self.received) or self.state.global_step == self.state.max_steps

    def _save_checkpoint(self, model, trial) -> None:
        state = {
            **self.identity,
            "trainer": dataclasses.asdict(self.state),
            "scheduler": self.lr_scheduler.state_dict(),
            "record": dataclasses.asdict(self.record),
        }
        tensors = {f"random/{kind}": generator.get_state() for kind, generator in self._generators().items()}
        for name, weight in self.model.named_parameters():
            tensors[f"weight/{name}"] = weight.detach()
            tensors |= {f"{key}/{name}": value for key, value in self.optimizer.state[weight].items()}
        checkpoint.save(self.work, state, tensors)
        self.saved = time.monotonic()
        LOG.info("checkpoint after step %d", self.state.global_step)
        if self.received:
            raise TrellisError(f"stopped by SIGTERM after step {self.state.global_step}; run again to go on from there")

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None) -> None:
        """Nothing yet: there is no optimizer."""

    def _load_optimizer_and_scheduler(self, checkpoint_folder) -> None:
        weights = dict(self.model.named_parameters())
        for name, value in checkpoint.read_tensors(self.work):
            kind, of = name.split("/", 1)
            if kind == "weight":
                weights[of].data.copy_(value)
            elif kind == "random":
                self.random[of] = value.clone()
            else:
                # A copy, for what was read is a view of the file. The fused AdamW counts its steps on the device.
                self.optimizer.state[weights[of]][kind] = value.to(weights[of].device, copy=True)
        self.lr_scheduler.load_state_dict(self.kept["scheduler"])
        for group, rate in zip(self.optimizer.param_groups, self.lr_scheduler.get_last_lr(), strict=True):
            group["lr"] = rate

    def _load_rng_state(self, checkpoint_folder) -> None:
        """After the loader has drawn its seed."""
        for kind, generator in self._generators().items():
            generator.set_state(self.random[kind])

    def _generators(self) -> dict[str, torch.Generator]:
        device, _ = self.mixed_precision
        on_gpu = {"cuda": torch.cuda.default_generators[device.index]} if device.type == "cuda" else {}
        return {"cpu": torch.default_generator, **on_gpu}


class Saving(TrainerCallback):
    """Asks for a checkpoint after the steps for which the trainer says so."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args, state, control, **_) -> None:
        control.should_save = self.trainer.due()
