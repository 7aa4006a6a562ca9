"""Checkpoints of a running training: whole or absent, and bound to the fingerprints of the run and of its mixture.

One file, one rename, no pickle: a safetensors file of weights, optimizer state and random state, with the rest in its
metadata. Its last tensor is the xxh3 of all bytes before it, so that a bit that the disk has turned is noticed. It is
written tensor by tensor: on the host there is never more than one of them.
"""

import itertools
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import torch
import xxhash
from safetensors import SafetensorError, safe_open

from trellis.errors import TrellisError

NAME = "checkpoint.safetensors"
DIGEST = "digest"
READ_AT_ONCE = 1 << 24
TYPES = {torch.float32: "F32", torch.uint8: "U8"}


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
    """Replaces the folder's checkpoint atomically. `step` is the number of finished steps. Raises TrellisError when it
    cannot be written; the one before is still there."""
    temporary = folder / f".{NAME}"
    try:
        with temporary.open("wb") as file:
            _write(file, state.tensors(), {"state": json.dumps({**asdict(identity), "step": step})})
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / NAME)
        _sync(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TrellisError(
            f"no checkpoint could be written to {folder} after step {step} ({error.strerror}); the one before is kept: make "
            f"room and run again to go on from it"
        ) from None


def load(folder: Path, identity: Identity, state: State) -> int:
    """Restores the state in place; returns the number of finished steps, 0 where there is no checkpoint. Raises
    TrellisError for a damaged checkpoint, or one of another run or mixture."""
    path = folder / NAME
    if not path.exists():
        return 0
    remedy = "delete it and run again to begin anew"
    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads(file.metadata()["state"])
            for what, mine in asdict(identity).items():
                if found[what] != mine:
                    raise TrellisError(
                        f"{path} belongs to {what} {found[what][:16]}, and this training's is {mine[:16]}; {remedy}"
                    )
            if file.get_tensor(DIGEST).numpy().tobytes() != _digest(path):
                raise TrellisError(f"{path} is damaged (its checksum is wrong); {remedy}")
            state.restore((name, file.get_tensor(name)) for name in file.keys() if name != DIGEST)  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrellisError(f"{path} is damaged ({error}); {remedy}") from None
    return found["step"]


def _write(file: BinaryIO, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """The safetensors format: the header's length, the header (JSON, padded to 8 bytes), the tensors in its order."""
    header, end = {"__metadata__": metadata}, 0
    for name, tensor in (tensors | {DIGEST: torch.empty(16, dtype=torch.uint8)}).items():
        size = tensor.numel() * tensor.element_size()
        place = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        header[name], end = place, end + size
    content = json.dumps(header).encode()
    content += b" " * (-len(content) % 8)
    digest = xxhash.xxh3_128()
    for part in itertools.chain((len(content).to_bytes(8, "little"), content), map(_bytes, tensors.values())):
        digest.update(part)
        file.write(part)
    file.write(digest.digest())


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _digest(path: Path) -> bytes:
    """The xxh3 of a checkpoint, but for its last 16 bytes."""
    digest, left = xxhash.xxh3_128(), path.stat().st_size - 16
    with path.open("rb") as file:
        while left and (part := file.read(min(left, READ_AT_ONCE))):
            digest.update(part)
            left -= len(part)
    return digest.digest()


def _sync(folder: Path) -> None:
    """Makes a rename last through a loss of power."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
