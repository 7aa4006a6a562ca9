"""Where tensors live: the configured device, pinned to the configured GPU model, and what it can do at most."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch

from trellis import torchrun
from trellis.errors import TrellisError

# Peak TFLOP/s of dense (not sparse) bfloat16 matrix products with float32 accumulation, by a part of the name that the
# driver gives; the longest part that fits counts. From NVIDIA's data sheets, whose figures for Ampere and later are often
# twice that, "with sparsity"; for GeForce and the workstation cards from the architecture white papers (GA102, AD102 and
# Blackwell, appendix A).
PEAK_TFLOPS = {
    "B200": 2250.0,
    "H200": 989.4,
    "H200 NVL": 835.5,
    "GH200": 989.4,
    "H100": 989.4,
    "H100 NVL": 835.5,
    "H100 PCIe": 756.4,
    "A100": 312.0,
    "A40": 149.7,
    "A10": 125.0,
    "L40S": 362.1,
    "L4": 121.0,
    "RTX A6000": 154.8,
    "RTX 6000 Ada": 364.2,
    "GeForce RTX 5090": 209.5,
    "GeForce RTX 4090": 165.2,
    "GeForce RTX 3090": 71.2,
}
# Other chips, or parts of one, that bear a name of the table.
OTHERS = ("Laptop", "Max-Q", "MIG", "RTX 3090 Ti", "RTX 4090 D", "RTX 5090 D")


def pick_device(machine: dict[str, Any]) -> torch.device:
    """The device of a spec's `machine`, this process's own where torchrun started several. Raises TrellisError when the
    GPU is missing or is not the pinned model."""
    if machine["device"] == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise TrellisError(
            "the experiment's device is cuda, and torch finds no GPU here; run on a GPU machine or set `device: cpu`"
        )
    index, count = torchrun.local_rank(), torch.cuda.device_count()
    if index >= count:
        raise TrellisError(
            f"torchrun started a process for GPU {index + 1}, and torch finds {count} here; lower machine.gpus in "
            f"config/config.yaml"
        )
    found, wanted = torch.cuda.get_device_name(index), machine["gpu_model"]
    if wanted not in ("any", found):
        raise TrellisError(
            f"this machine's GPU is {found}, and machine.gpu_model in config/config.yaml pins {wanted}; "
            f"set it to {found!r} or to any"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def hardware(device: torch.device) -> dict[str, str]:
    """The GPU's name for the manifest's account of the run; on a processor, nothing to add."""
    return {"hardware": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}


def peak_flops(name: str) -> float | None:
    """The dense bfloat16 peak in FLOP/s of the GPU with this name; None where it is not known."""
    if any(word in name for word in OTHERS):
        return None
    known = [part for part in PEAK_TFLOPS if f" {part} " in f" {name.replace('-', ' ')} "]
    return PEAK_TFLOPS[max(known, key=len)] * 1e12 if known else None


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Mixed precision for a configured `precision`; on a processor without bfloat16 units it would only cost time."""
    fast = device.type == "cuda" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    if precision == "float32" or not fast:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """With `wanted`, only kernels that give the same bits at every run; to be entered before the GPU is first used."""
    before = torch.are_deterministic_algorithms_enabled()
    if wanted:
        # cuBLAS reads it when it starts; with more workspace than this, its results depend on what else runs.
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
        # Or every new tensor would be filled first, for the sake of code that reads what it never wrote.
        torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
