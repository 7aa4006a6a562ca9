"""The progress of a classifier's training: whole epochs, bound to the fingerprint they belong to; tensors and JSON only."""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from trellis.errors import TrellisError


class Checkpoint:
    """What the last finished epoch left (weights that learn, optimizer, history), and the weights of the best one.

    Where the process dies between the two files, the epoch is run again and writes the same best weights again."""

    def __init__(self, folder: Path, fingerprint: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.last, self.best, self.fingerprint = folder / "last.safetensors", folder / "best.safetensors", fingerprint
        self.optimizer = optimizer
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}

    def save(self, history: list[dict], is_best: bool) -> None:
        """Replaces the last epoch's state, and the best weights where this epoch has them."""
        weights = {f"weight/{name}": weight.detach() for name, weight in self.weights.items()}
        if is_best:
            self._write(self.best, weights, history)
        states = {
            f"{key}/{name}": value
            for name, weight in self.weights.items()
            for key, value in self.optimizer.state[weight].items()
        }
        self._write(self.last, {**weights, **states}, history)

    def resume(self) -> list[dict]:
        """Restores the last epoch's state and returns its history; an empty one where there is no checkpoint."""
        return self._read(self.last) if self.last.exists() else []

    def restore_best(self) -> None:
        """Sets the weights that learn to those of the best epoch."""
        self._read(self.best)

    def _write(self, path: Path, tensors: dict[str, torch.Tensor], history: list[dict]) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        state = json.dumps({"fingerprint": self.fingerprint, "history": history})
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, {"state": state})
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            raise TrellisError(f"no checkpoint could be written to {path.parent} ({error})") from None

    def _read(self, path: Path) -> list[dict]:
        try:
            with safe_open(path, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
                if state["fingerprint"] != self.fingerprint:
                    raise TrellisError(f"{path} belongs to fingerprint {state['fingerprint'][:16]}; delete its folder")
                for place in file.keys():  # noqa: SIM118
                    key, name = place.split("/", 1)
                    self._set(key, self.weights[name], file.get_tensor(place))
        except SafetensorError as error:
            raise TrellisError(f"{path} is damaged ({error}); delete its folder and run again") from None
        return state["history"]

    def _set(self, key: str, weight: nn.Parameter, value: torch.Tensor) -> None:
        if key == "weight":
            weight.data.copy_(value)
        else:
            self.optimizer.state[weight][key] = value if key == "step" else value.to(weight.device)
