"""The checkpoint of a running training: whole or absent, and bound to the run and the data that it belongs to.

One file, one rename, no pickle: safetensors, with all that is no tensor as JSON in its metadata. Its last tensor is the
xxh3 of the bytes before it, so that a bit that the disk has turned is noticed. It is written tensor by tensor: on the host
there is never more than one of them.
"""

import contextlib
import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
import xxhash
from safetensors import SafetensorError, safe_open

from trellis.errors import TrellisError

NAME = "checkpoint.safetensors"
DIGEST = "digest"
READ_AT_ONCE = 1 << 24
TYPES = {torch.float32: "F32", torch.uint8: "U8"}
REMEDY = "delete it and run again to begin anew"


def save(folder: Path, state: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Replaces the folder's checkpoint. Raises TrellisError when it cannot be written; the one before is still there."""
    temporary = folder / f".{NAME}"
    try:
        with temporary.open("wb") as file:
            _write(file, tensors, {"state": json.dumps(state)})
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / NAME)
        _sync(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TrellisError(
            f"no checkpoint could be written to {folder} ({error.strerror}); the one before is kept: make room and run "
            f"again to go on from it"
        ) from None


def load(folder: Path, identity: dict[str, str]) -> dict[str, Any] | None:
    """The state of the folder's checkpoint, None where there is none. `identity` are the values by which it must agree
    with this run. Raises TrellisError for one that is damaged or another's."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            for what, mine in identity.items():
                if state[what] != mine:
                    raise TrellisError(
                        f"{path} belongs to {what} {state[what][:16]}, and this run's is {mine[:16]}; {REMEDY}"
                    )
            if file.get_tensor(DIGEST).numpy().tobytes() != _digest(path):
                raise TrellisError(f"{path} is damaged (its checksum is wrong); {REMEDY}")
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrellisError(f"{path} is damaged ({error}); {REMEDY}") from None
    return state


def read_tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a checkpoint that was loaded, one at a time and views of the file: to be copied."""
    with safe_open(folder / NAME, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            if name != DIGEST:
                yield name, file.get_tensor(name)


@contextlib.contextmanager
def told_to_stop() -> Iterator[list[int]]:
    """A list that is not empty once the process has got SIGTERM, instead of its end: there is a checkpoint to be saved."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


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
