"""Decoders, recipes and rows small enough to train in a test."""

import torch

from trellis.experiment.models import Decoder, GptNeox, Llama
from trellis.experiment.pretraining import Pretraining
from trellis.models.build import build
from trellis.models.size import parameters

KINDS = ["llama", "gpt_neox"]
VOCABULARY, CONTEXT, END = 160, 20, 5


def tiny(kind: str, vocabulary: int = VOCABULARY, **shape) -> Decoder:
    """A decoder of three layers; as llama with two query heads to a key."""
    shape = {"mixture": "m", "hidden_size": 32, "intermediate_size": 48, "layers": 3, "heads": 4, **shape}
    model = Llama(kind=kind, kv_heads=2, parameters=1, **shape) if kind == "llama" else None
    model = model or GptNeox(kind=kind, parameters=1, **shape)
    return model.model_copy(update={"parameters": parameters(model, vocabulary)})


def tiny_module(kind: str, vocabulary: int = VOCABULARY, context: int = CONTEXT, **shape):
    return build(tiny(kind, vocabulary, **shape), vocabulary, context, END, seed=0)


def recipe(context: int = CONTEXT, **keys) -> Pretraining:
    needed = {"context": context, "batch_tokens": 4 * context, "max_lr": 1e-2, "min_lr": 1e-3, "warmup_steps": 1}
    return Pretraining.model_validate({**needed, "micro_batch": 4, "precision": "float32", **keys})


def rows(count: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (count, CONTEXT + 1), generator=torch.Generator().manual_seed(seed))
