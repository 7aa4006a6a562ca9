"""Batches of token ids: documents of like length together, so that little of a batch is padding."""

from collections.abc import Iterator

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


def pad(ids: list[list[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both int64 [documents, longest]."""
    longest = max(map(len, ids))
    padded = torch.tensor([row + [pad_id] * (longest - len(row)) for row in ids], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=device)
    return padded, mask
