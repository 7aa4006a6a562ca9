"""Where tensors live: the configured device, pinned to the configured GPU model."""

import contextlib
from typing import Any

import torch

from trellis.errors import TrellisError


def pick_device(machine: dict[str, Any]) -> torch.device:
    """The device of a spec's `machine`. Raises TrellisError when the GPU is missing or is not the pinned model."""
    if machine["device"] == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise TrellisError(
            "the experiment's device is cuda, and torch finds no GPU here; run on a GPU machine or set `device: cpu`"
        )
    found, wanted = torch.cuda.get_device_name(0), machine["gpu_model"]
    if wanted not in ("any", found):
        raise TrellisError(
            f"this machine's GPU is {found}, and machine.gpu_model in config/config.yaml pins {wanted}; "
            f"set it to {found!r} or to any"
        )
    return torch.device("cuda", 0)


def hardware(device: torch.device) -> dict[str, str]:
    """The GPU's name for the manifest's account of the run; on a processor, nothing to add."""
    return {"hardware": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Mixed precision for a configured `precision`; on a processor without bfloat16 units it would only cost time."""
    fast = device.type == "cuda" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    if precision == "float32" or not fast:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
