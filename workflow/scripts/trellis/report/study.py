"""The arms of the study: which model was pretrained on what, and whether fine-tuning really was the same for all."""

from dataclasses import dataclass
from typing import Any

from trellis.manifest import Manifest
from trellis.report.results import Results
from trellis.report.wording import listed

ARCHITECTURES = {
    "llama": "LLaMA",
    "gpt_neox": "GPT-NeoX",
    "pretrained": "pretrained elsewhere",
    "pretrained_folder": "pretrained elsewhere",
}


@dataclass(frozen=True)
class Arm:
    """A model of the experiment; `index` is its colour. `tokens` are those it was pretrained on, None if not known."""

    name: str
    index: int
    architecture: str
    mixture: str | None
    parameters: int | None
    tokens: int | None


@dataclass(frozen=True)
class Tuning:
    """The check of identical fine-tuning: `problem` is None where all models saw the same examples in the same order."""

    models: int
    seeds: list[int]
    examples: int | None
    data_sha256: str
    problem: str | None


def read_arms(results: Results, experiment: dict[str, Any]) -> list[Arm]:
    """The experiment's models in its order, with what was measured of them where their pretraining, or their taking in,
    left a record."""
    arms = []
    for index, (name, model) in enumerate(experiment["models"].items()):
        made = pretrained_manifest(results, name)
        metrics = made.metrics if made else {}
        architecture = metrics.get("architecture", model["kind"])
        arms.append(
            Arm(
                name=name,
                index=index,
                architecture=ARCHITECTURES.get(architecture, architecture),
                mixture=model.get("mixture"),
                parameters=metrics.get("parameters", model.get("parameters")),
                tokens=metrics.get("tokens", model.get("training_tokens")),
            )
        )
    return arms


def pretrained_manifest(results: Results, name: str) -> Manifest | None:
    """The record of a model's pretraining here or, if others pretrained it, of its taking in."""
    return results.find("pretrain", "train", name) or results.find("pretrain", "pretrained", name)


def tuned_names(experiment: dict[str, Any]) -> list[tuple[str, int, str]]:
    """(model, seed, result name) of every fine-tuned model, in the plan's order."""
    seeds = experiment["sft"]["training"]["seeds"]
    return [(model, seed, f"{model}-s{seed}") for model in experiment["models"] for seed in seeds]


def check_tuning(results: Results, experiment: dict[str, Any]) -> Tuning:
    """Compares the hashes that every fine-tuning recorded: of its examples, and of the order in which it saw them."""
    problems, data, orders, examples = [], {}, {}, None
    for model, seed, name in tuned_names(experiment):
        made = results.find("sft", "train", name)
        if made is None or not made.metrics.get("data_sha256") or not made.metrics.get("order_sha256"):
            problems.append(f"{name} left no record of its examples")
            continue
        data.setdefault(made.metrics["data_sha256"], []).append(name)
        orders.setdefault(seed, {}).setdefault(made.metrics["order_sha256"], []).append(model)
        examples = made.metrics.get("examples", examples)
    if len(data) > 1:
        problems.append("the examples differ between " + listed([" / ".join(names) for names in data.values()]))
    for seed, found in orders.items():
        if len(found) > 1:
            groups = listed([" / ".join(names) for names in found.values()])
            problems.append(f"at seed {seed} the order of the examples differs between {groups}")
    return Tuning(
        models=len(experiment["models"]),
        seeds=experiment["sft"]["training"]["seeds"],
        examples=examples,
        data_sha256=next(iter(data), ""),
        problem="; ".join(problems) or None,
    )
