"""The processes that train one model together: each computes its share of every batch, and all take the same step."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from trellis import torchrun
from trellis.errors import TrellisError

# The others wait while the first process verifies a mixture, or writes a checkpoint to a slow disk.
PATIENCE = timedelta(hours=1)


class World:
    """The processes as one of them sees them. Gradients travel between GPUs by NCCL; what the host must know travels by
    gloo, so that no process waits for its GPU to learn it."""

    def __init__(self) -> None:
        self.rank, self.size = torchrun.rank(), torchrun.size()
        self.first = self.rank == 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process's part of a batch's rows; none where there are fewer rows than processes."""
        return rows[self.rank :: self.size]

    def replicated(self, module: torch.nn.Module, device: torch.device) -> torch.nn.Module:
        """The module; after a backward pass (outside `no_sync`) its gradients are the mean over all processes."""
        if self.size == 1:
            return module
        own = [device] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=own, broadcast_buffers=False, gradient_as_bucket_view=True)

    def summed(self, values: list[float]) -> list[float]:
        """Each value's sum over all processes."""
        return self._reduced(values, torch.float64, dist.ReduceOp.SUM)

    def any(self, *said: bool) -> list[bool]:
        """Of each statement, whether one of the processes makes it: they all get the same answer."""
        return [bool(value) for value in self._reduced(list(said), torch.uint8, dist.ReduceOp.MAX)]

    def wait(self) -> None:
        """Until all processes are here."""
        self.any(False)

    def _reduced(self, values: list, dtype: torch.dtype, operation: dist.ReduceOp) -> list:
        if self.size == 1:
            return values
        reduced = torch.tensor(values, dtype=dtype)
        dist.all_reduce(reduced, operation)
        return reduced.tolist()


@contextlib.contextmanager
def together() -> Iterator[World]:
    """Connects the processes that torchrun started. Raises TrellisError in this one when another is gone."""
    world = World()
    if world.size > 1:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        yield world
    except RuntimeError as error:
        if world.size > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise TrellisError(
                "another process of this training is gone (was it killed, for want of memory perhaps?); the last checkpoint "
                "is kept, run again to go on from it"
            ) from None
        raise
    # Not after an error: the others would lose their connection to this one before it has said what happened.
    if world.size > 1:
        dist.destroy_process_group()
