"""What sets the models apart besides the choice of documents: where they differ in it, their comparison is confounded."""

from collections.abc import Callable, Iterable
from typing import Any

from trellis.report.results import Results
from trellis.report.study import Arm, pretrained_manifest
from trellis.report.wording import UNKNOWN, count, decimal, short


def confounds_section(results: Results, experiment: dict[str, Any], arms: list[Arm]) -> dict[str, Any]:
    """A row per property: its label, how it is written of each arm, and whether it is the same. `elsewhere` is whether any
    arm was pretrained by others."""
    facts = [_facts(results, experiment, arm) for arm in arms]
    return {
        "rows": [
            {
                "label": label,
                "cells": [UNKNOWN if fact[key] is None else write(fact[key]) for fact in facts],
                "alike": NO_CONFOUNDS.get(key) or _alike(fact[key] for fact in facts),
            }
            for key, label, write in PROPERTIES
        ],
        "elsewhere": any(arm.mixture is None for arm in arms),
    }


PROPERTIES: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("architecture", "Architecture", str),
    ("parameters", "Parameters", count),
    ("tokens", "Pretraining tokens", count),
    ("unique_tokens", "Unique tokens", count),
    ("tokens_per_parameter", "Tokens per parameter", lambda value: decimal(value, 1)),
    ("training_flops", "Training FLOPs", short),
    ("tokenizer", "Tokenizer", str),
    ("mixture", "Mixture", str),
    ("bits_per_byte", "Bits per byte, held-out", lambda value: decimal(value, 3)),
)
# Properties in which models may differ without harm.
NO_CONFOUNDS = {"mixture": "what is compared", "bits_per_byte": "an outcome"}


def _facts(results: Results, experiment: dict[str, Any], arm: Arm) -> dict[str, Any]:
    """Every property of one arm; None for what is not known."""
    made, model = pretrained_manifest(results, arm.name), experiment["models"][arm.name]
    metrics = made.metrics if made else {}
    packed = results.find("tokenize", "pack", arm.mixture) if arm.mixture else None
    return {
        "architecture": arm.architecture,
        "parameters": arm.parameters,
        "tokens": arm.tokens,
        "unique_tokens": sum(source["unique_tokens"] for source in packed.metrics["sources"]) if packed else None,
        "tokens_per_parameter": arm.tokens / arm.parameters if arm.tokens and arm.parameters else None,
        "training_flops": metrics.get("training_flops"),
        "tokenizer": _tokenizer(experiment["tokenizer"]),
        "mixture": arm.mixture or f"that of {model.get('repo') or model.get('folder')}",
        "bits_per_byte": metrics.get("bits_per_byte"),
    }


def _tokenizer(tokenizer: dict[str, Any]) -> str:
    """All models of an experiment share one."""
    origin = tokenizer.get("repo") or tokenizer.get("package") or tokenizer.get("path") or "trained here"
    return f"{origin}, {tokenizer['vocab_size']:,} rows"


def _alike(values: Iterable[Any]) -> str:
    """`same`, `differs`, or `not known` where what is known is the same."""
    found = set(values)
    return "differs" if len(found - {None}) > 1 else "not known" if None in found else "same"
