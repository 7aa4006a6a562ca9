"""The processes of one training: how many torchrun started, which of them this is, and which speaks when they fail.

Without torchrun there is one process, the first of one.
"""

import os
from datetime import timedelta


def rank() -> int:
    """This process's number among all processes, from 0; the first one publishes."""
    return _told("RANK", 0)


def local_rank() -> int:
    """This process's number among those on this machine: the number of its GPU."""
    return _told("LOCAL_RANK", 0)


def size() -> int:
    """How many processes train together."""
    return _told("WORLD_SIZE", 1)


def first_to_fail() -> bool:
    """Whether no other of these processes has failed yet: the first one speaks, the others fail because it did."""
    if size() == 1:
        return True
    from torch.distributed import TCPStore

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    attempt = os.environ["TORCHELASTIC_RESTART_COUNT"]
    try:
        # torchrun's own store, which outlives the processes.
        store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=20))
        return store.add(f"trellis/failed/{attempt}", 1) == 1
    except RuntimeError:
        return True


def _told(name: str, otherwise: int) -> int:
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else otherwise
