"""How the experiment's keys are said in the arguments of transformers and TRL."""

from pathlib import Path
from typing import Any

from trl import SFTConfig

from trellis.experiment.sft import SftTraining

# The arguments that decide what is learnt, as transformers and TRL call them.
HYPERPARAMETERS = (
    "seed",
    "train_sampling_strategy",
    "max_length",
    "truncation_mode",
    "packing",
    "assistant_only_loss",
    "optim",
    "learning_rate",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "weight_decay",
    "max_grad_norm",
    "neftune_noise_alpha",
)


def arguments(training: SftTraining, steps: int, work: Path, use_cpu: bool) -> SFTConfig:
    """The trainer's settings: nothing leaves the process, and nothing is kept but what the stage writes."""
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
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        # The trainer below says when.
        save_strategy="no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
    )


def held(args: SFTConfig) -> dict[str, Any]:
    """The hyperparameters as plain JSON values, by TRL's names."""
    values = args.to_dict()
    return {name: values[name] for name in HYPERPARAMETERS}
