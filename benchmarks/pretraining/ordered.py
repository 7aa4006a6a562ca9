"""The rows of a packed mixture in the order of its permutation, for loops that take torch's DataLoader."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from pretraining.size import SOURCE, Size


class Ordered(Dataset):
    """int64 [context + 1] each."""

    def __init__(self, mixture: Path, context: int) -> None:
        self.context = context
        self.tokens = np.memmap(mixture / f"train/{SOURCE}.bin", dtype=np.uint16, mode="r")
        self.order = np.load(mixture / "train/order.npy")

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> torch.Tensor:
        begin = int(self.order[place]) * self.context
        return torch.from_numpy(self.tokens[begin : begin + self.context + 1].astype(np.int64))


def workers(device: torch.device) -> int:
    """Beside a GPU two processes read ahead, as the original's did; beside a processor they would take its cores."""
    return 2 if device.type == "cuda" else 0


def micro_batches(mixture: Path, size: Size, device: torch.device) -> DataLoader:
    """int64 [micro_batch, context + 1] each."""
    rows = Ordered(mixture, size.recipe.context)
    return DataLoader(
        rows, size.recipe.micro_batch, num_workers=workers(device), pin_memory=device.type == "cuda", drop_last=True
    )
