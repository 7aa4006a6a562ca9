"""The arms of the study: which model was pretrained on what, and whether fine-tuning really was the same for all."""

import json
from collections.abc import Iterator
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
    """The check of identical fine-tuning: `problem` is None where all models saw the same examples in the same order, under
    one template, with the same hyperparameters; `same_tokens` where they share a tokenizer, and the tokens were the same."""

    models: int
    seeds: list[int]
    examples: int | None
    data_sha256: str
    problem: str | None
    same_tokens: bool = False


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


# What a fine-tuning records of itself, in words.
RECORDED = {
    "data_sha256": "examples",
    "order_sha256": "order",
    "tokens_sha256": "tokens",
    "tokenizer_sha256": "tokenizer",
    "template": "chat template",
    "hyperparameters": "hyperparameters",
    "trained_parameters": "trained parameters",
}


def check_tuning(results: Results, experiment: dict[str, Any]) -> Tuning:
    """Compares what every fine-tuning recorded of itself: its examples and its chat template with those of all others, and
    with those of its seed the order, the tokens (among models of one tokenizer) and the hyperparameters."""
    problems, seeds, made = [], {}, {}
    for model, seed, name in tuned_names(experiment):
        found = results.find("sft", "train", name)
        metrics = found.metrics if found else {}
        if missing := [words for key, words in RECORDED.items() if not metrics.get(key)]:
            problems.append(f"{name} left no record of its {listed(missing)}")
            continue
        if metrics["trained_parameters"] != metrics["parameters"]:
            share = f"{metrics['trained_parameters']:,} of {metrics['parameters']:,}"
            problems.append(f"{name} trained only {share} parameters")
        made[name] = seeds.setdefault(seed, {})[model] = metrics
    if groups := _differing({name: metrics["data_sha256"] for name, metrics in made.items()}):
        problems.append(f"the examples differ between {groups}")
    if groups := _differing({name: metrics["template"]["sha256"] for name, metrics in made.items()}):
        problems.append(f"the chat template differs between {groups}")
    for seed, tuned in seeds.items():
        problems += [f"at seed {seed} the {what} {groups}" for what, groups in _differences(tuned)]
    return Tuning(
        models=len(experiment["models"]),
        seeds=experiment["sft"]["training"]["seeds"],
        examples=next((metrics.get("examples") for metrics in made.values()), None),
        data_sha256=next((metrics["data_sha256"] for metrics in made.values()), ""),
        problem="; ".join(problems) or None,
        same_tokens=len({metrics["tokenizer_sha256"] for metrics in made.values()}) == 1,
    )


def _differences(tuned: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """What differs between the models of one seed, and between which of them."""
    if groups := _differing({model: metrics["order_sha256"] for model, metrics in tuned.items()}):
        yield "order of the examples differs between", groups
    else:  # Another order would be other tokens.
        tokens: dict[str, dict[str, str]] = {}
        for model, metrics in tuned.items():
            tokens.setdefault(metrics["tokenizer_sha256"], {})[model] = metrics["tokens_sha256"]
        for groups in filter(None, map(_differing, tokens.values())):
            yield "tokens, or which of them carry the loss, differ between", groups
    for key in dict.fromkeys(key for metrics in tuned.values() for key in metrics["hyperparameters"]):
        held = {model: metrics["hyperparameters"].get(key) for model, metrics in tuned.items()}
        if groups := _differing(held, tell=True):
            yield f"hyperparameter {key} differs between", groups


def _differing(values: dict[str, Any], tell: bool = False) -> str | None:
    """The names, grouped by their values, which are told if asked for; None where all have the same."""
    groups: dict[str, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(json.dumps(value, sort_keys=True), []).append(name)
    told = [" / ".join(names) + (f" ({value})" if tell else "") for value, names in groups.items()]
    return listed(told) if len(groups) > 1 else None
