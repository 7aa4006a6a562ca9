"""Batches of token ids: documents of like length together, so that little of a batch is padding."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor


def by_length(lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Positions of documents, longest first, in batches of at most `batch_tokens` tokens, padding included (a document
    longer than that is a batch of its own)."""
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def pad(ids: list[Sequence[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both int64 [documents, longest]; at least one column."""
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(max(1, lengths.max())) < lengths[:, None]
    padded = np.full(mask.shape, pad_id, np.int64)
    padded[mask] = np.concatenate(ids, dtype=np.int64, casting="unsafe")
    return torch.from_numpy(padded).to(device), torch.from_numpy(mask.astype(np.int64)).to(device)
