"""Checkpoints of a running training: whole or absent, and bound to the fingerprint they belong to.

Tensors lie in safetensors, everything else in the same file's metadata: one file, one rename, no pickle.
"""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from trellis.errors import TrellisError

NAME = "checkpoint.safetensors"


def save(folder: Path, fingerprint: str, step: int, module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Replaces the folder's checkpoint atomically. `step` is the number of finished steps."""
    tensors = {}
    for name, weight in module.named_parameters():
        tensors[f"weight/{name}"] = weight.detach()
        for key, value in optimizer.state[weight].items():
            tensors[f"{key}/{name}"] = value
    temporary = folder / f".{NAME}.{os.getpid()}"
    state = {"fingerprint": fingerprint, "step": step}
    try:
        save_file(
            {name: value.contiguous() for name, value in tensors.items()}, temporary, {"state": json.dumps(state)}
        )
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, folder / NAME)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise TrellisError(f"no checkpoint could be written to {folder} ({error}); the last one is kept") from None


def load(folder: Path, fingerprint: str, module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restores weights and optimizer state in place; returns the number of finished steps, 0 where there is no
    checkpoint. Raises TrellisError for a checkpoint of another fingerprint or a damaged one."""
    path = folder / NAME
    if not path.exists():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            if state["fingerprint"] != fingerprint:
                raise TrellisError(
                    f"{path} belongs to fingerprint {state['fingerprint'][:16]}; delete it and run again"
                )
            keys = sorted({name.split("/", 1)[0] for name in file.keys()} - {"weight"})  # noqa: SIM118
            for name, weight in module.named_parameters():
                weight.data.copy_(file.get_tensor(f"weight/{name}"))
                for key in keys:
                    value = file.get_tensor(f"{key}/{name}")
                    optimizer.state[weight][key] = value if key == "step" else value.to(weight.device)
    except SafetensorError as error:
        raise TrellisError(f"{path} is damaged ({error}); delete it and run again") from None
    return state["step"]
