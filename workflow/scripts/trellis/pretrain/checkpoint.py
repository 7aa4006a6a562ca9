"""What a checkpoint of pretraining holds: the weights, the optimizer's state and torch's random state, and whose they are."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from trellis import checkpoint


@dataclass(frozen=True)
class Identity:
    """What a checkpoint belongs to: the fingerprint of the run, and of the files of the mixture that it read."""

    fingerprint: str
    mixture: str


class State:
    """What a training consists of: its weights by name, and the AdamW that moves them."""

    def __init__(self, weights: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        self.weights, self.optimizer = weights, optimizer
        self.device = next(iter(weights.values())).device

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights, the optimizer's moments and step counts, and the state of torch's generators, by name."""
        tensors = {"random/cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self.device)
        for name, weight in self.weights.items():
            tensors[f"weight/{name}"] = weight.detach()
            tensors |= {f"{key}/{name}": value for key, value in self.optimizer.state[weight].items()}
        return tensors

    def restore(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Puts tensors of the same names back where they were."""
        for name, value in tensors:
            key, of = name.split("/", 1)
            if name == "random/cpu":
                torch.set_rng_state(value)
            elif name == "random/cuda":
                if self.device.type == "cuda":
                    torch.cuda.set_rng_state(value, self.device)
            elif key == "weight":
                self.weights[of].data.copy_(value)
            else:
                # A copy, for what was loaded is a view of the file. The fused AdamW counts its steps on the device.
                self.optimizer.state[self.weights[of]][key] = value.to(self.device, copy=True)


def save(folder: Path, identity: Identity, step: int, state: State) -> None:
    """Replaces the folder's checkpoint. `step` is the number of finished steps. Raises TrellisError when it cannot be
    written; the one before is still there."""
    checkpoint.save(folder, {**asdict(identity), "step": step}, state.tensors())


def load(folder: Path, identity: Identity, state: State) -> int:
    """Restores the state in place; returns the number of finished steps, 0 where there is no checkpoint. Raises
    TrellisError for a damaged checkpoint, or one of another run or mixture."""
    found = checkpoint.load(folder, asdict(identity))
    if found is None:
        return 0
    state.restore(checkpoint.read_tensors(folder))
    return found["step"]
