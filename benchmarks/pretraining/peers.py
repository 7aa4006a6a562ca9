"""The loops that ours is compared with. Each trains from our weights on the rows of a mixture in their order, to their end,
and returns the mean loss of the first step, in nats per token."""

import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainingArguments

from pretraining.ordered import Ordered, micro_batches, workers
from pretraining.original import Original
from pretraining.size import Size
from trellis.device import autocast
from trellis.pretrain.attention import NAME


def hf_trainer(size: Size, start: PreTrainedModel, mixture: Path, device: torch.device) -> float:
    """transformers' Trainer with the recipe's optimizer, schedule, batch, precision and compile, as a user would ask it to
    pretrain: its own attention, loss and logging, no checkpoints. The targets come with the rows, so that it trains on
    all `context` of them, as ours does."""
    recipe = size.recipe
    precision = autocast(device, recipe.precision)
    start.set_attn_implementation("sdpa")
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=len(Ordered(mixture, recipe.context)) // size.batch_rows,
            per_device_train_batch_size=recipe.micro_batch,
            gradient_accumulation_steps=size.batch_rows // recipe.micro_batch,
            learning_rate=recipe.max_lr,
            lr_scheduler_type="cosine_with_min_lr",
            lr_scheduler_kwargs={"min_lr": recipe.min_lr},
            warmup_steps=recipe.warmup_steps,
            adam_beta1=recipe.betas[0],
            adam_beta2=recipe.betas[1],
            weight_decay=recipe.weight_decay,
            max_grad_norm=recipe.clip,
            optim="adamw_torch_fused",
            bf16=isinstance(precision, torch.autocast),
            use_cpu=device.type == "cpu",
            torch_compile=recipe.compile != "none",
            train_sampling_strategy="sequential",
            dataloader_num_workers=workers(device),
            dataloader_pin_memory=device.type == "cuda",
            remove_unused_columns=False,
            logging_steps=recipe.log_interval,
            logging_first_step=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Trainer(start, arguments, train_dataset=Ordered(mixture, recipe.context), data_collator=_with_targets)
        trainer.train()
    return trainer.state.log_history[0]["loss"]


def _with_targets(rows: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    stacked = torch.stack(rows)
    targets = stacked[:, 1:].contiguous()
    return {"input_ids": stacked[:, :-1].contiguous(), "labels": targets, "shift_labels": targets}


def original(size: Size, start: PreTrainedModel, mixture: Path, device: torch.device) -> float:
    """The original study's loop; it reads one token less per row, and its AdamW is fused on a GPU only."""
    context, accumulation = size.recipe.context, size.batch_rows // size.recipe.micro_batch
    module = Original(size.model, size.vocab_size, context)
    module.load_llama(start)
    module.to(device).train()
    forward = torch.compile(module) if size.recipe.compile != "none" else module
    optimizer = _adamw(module, size, fused=device.type == "cuda")
    batches, losses = iter(micro_batches(mixture, size, device)), []
    for _ in range(len(Ordered(mixture, context)) // size.batch_rows):
        optimizer.zero_grad(set_to_none=True)
        losses.append(0.0)
        for _ in range(accumulation):
            rows = next(batches)[:, :context]
            inputs, targets = rows[:, :-1].to(device, non_blocking=True), rows[:, 1:].to(device, non_blocking=True)
            with autocast(device, size.recipe.precision):
                logits = forward(inputs)
                loss = F.cross_entropy(logits.view(-1, size.vocab_size), targets.reshape(-1)) / accumulation
            loss.backward()
            losses[-1] += loss.item()
        nn.utils.clip_grad_norm_(module.parameters(), size.recipe.clip)
        optimizer.step()
    return losses[0]


def unmasked(size: Size, start: PreTrainedModel, mixture: Path, device: torch.device) -> float:
    """`plain`, with our attention in transformers' module."""
    return plain(size, start, mixture, device, attention=NAME)


def plain(size: Size, start: PreTrainedModel, mixture: Path, device: torch.device, attention: str = "sdpa") -> float:
    """The least that a loop around transformers' module needs: full logits in float32, losses that stay on the device."""
    accumulation = size.batch_rows // size.recipe.micro_batch
    start.set_attn_implementation(attention)
    if size.recipe.gradient_checkpointing == "full":
        start.gradient_checkpointing_enable({"use_reentrant": False})
    start.to(device).train()
    forward = torch.compile(start) if size.recipe.compile == "model" else start
    optimizer = _adamw(start, size, fused=True)
    batches, losses = iter(micro_batches(mixture, size, device)), []
    for _ in range(len(Ordered(mixture, size.recipe.context)) // size.batch_rows):
        losses.append(torch.zeros((), device=device))
        for _ in range(accumulation):
            rows = next(batches).to(device, non_blocking=True)
            with autocast(device, size.recipe.precision):
                logits = forward(input_ids=rows[:, :-1], use_cache=False).logits
            loss = F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten()) / accumulation
            loss.backward()
            losses[-1] += loss.detach()
        nn.utils.clip_grad_norm_(start.parameters(), size.recipe.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return losses[0].item()


def _adamw(module: nn.Module, size: Size, fused: bool) -> torch.optim.AdamW:
    recipe, weights = size.recipe, list(module.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.max_lr, betas=recipe.betas, fused=fused)
