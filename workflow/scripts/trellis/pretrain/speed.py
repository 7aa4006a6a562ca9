"""How fast a training is: tokens per second, and the shares of the device's peak that they come to."""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch

from trellis.device import peak_flops
from trellis.experiment.models import Decoder
from trellis.experiment.pretraining import Pretraining
from trellis.models.size import hardware_flops, training_flops


@dataclass(frozen=True)
class Cost:
    """What a token costs, in FLOPs: `needed` for training, `done` with what gradient checkpointing computes again. `peak`
    is what all devices together can do in a second, None where that is not known."""

    needed: int
    done: int
    peak: float | None

    @classmethod
    def of(cls, model: Decoder, vocab_size: int, recipe: Pretraining, device: torch.device, devices: int) -> "Cost":
        """What a model costs on this many devices of one kind."""
        peak = peak_flops(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
        return cls(
            training_flops(model, vocab_size, recipe.context),
            hardware_flops(model, vocab_size, recipe.context, recipe.gradient_checkpointing),
            peak * devices if peak else None,
        )


class Speedometer:
    """Measures training, and nothing between: it runs from `start` to `stop`. The host must have waited for the device at
    both."""

    def __init__(self, cost: Cost, device: torch.device) -> None:
        self.cost, self.device = cost, device
        self.tokens, self.seconds, self.started, self.rate = 0, 0.0, 0.0, 0.0

    def start(self) -> None:
        """What comes now is training."""
        self.started = time.monotonic()

    def stop(self, tokens: int) -> None:
        """`tokens` were trained on since `start`; `rate` is how many a second, since the last reading."""
        self.tokens, self.seconds = self.tokens + tokens, self.seconds + time.monotonic() - self.started
        self.rate = self.tokens / self.seconds

    def reading(self) -> dict[str, float | None]:
        """What was measured since the last reading: the fields of a line of speed.jsonl."""
        peak, memory = self.cost.peak, None
        if self.device.type == "cuda":
            memory = round(torch.cuda.max_memory_allocated(self.device) / 2**20, 1)
            torch.cuda.reset_peak_memory_stats(self.device)
        self.tokens, self.seconds = 0, 0.0
        return {
            "tokens_per_second": round(self.rate, 1),
            "mfu": round(self.rate * self.cost.needed / peak, 4) if peak else None,
            "hfu": round(self.rate * self.cost.done / peak, 4) if peak else None,
            "peak_gpu_mib": memory,
        }


def account(lines: list[dict[str, Any]]) -> dict[str, float | None]:
    """A run's account from its lines of speed.jsonl: medians, for the first interval compiles; the highest memory."""
    middle = {}
    for key in ("tokens_per_second", "mfu", "hfu"):
        values = [line[key] for line in lines if line[key] is not None]
        middle[key] = statistics.median(values) if values else None
    memory = [line["peak_gpu_mib"] for line in lines if line["peak_gpu_mib"] is not None]
    return middle | {"peak_gpu_mib": max(memory, default=None)}
