"""Scores of many documents by a trained classifier."""

from collections.abc import Sequence

import numpy as np
import torch

from trellis.classify.batches import by_length, pad
from trellis.classify.model import Classifier


def predict(model: Classifier, ids: list[Sequence[int]], batch_tokens: int) -> dict[str, np.ndarray]:
    """float32 scores by rubric in the order of `ids`: [documents, labels], or [documents] for levels."""
    scores = {name: np.empty((len(ids), *head.shape), np.float32) for name, head in model.heads.items()}
    with torch.inference_mode():
        made = [
            (batch, model(*pad([ids[place] for place in batch], model.pad_id, model.device)))
            for batch in by_length([len(row) for row in ids], batch_tokens)
        ]
    # Read back at the end: a GPU need not wait between batches.
    for batch, found in made:
        for name, values in found.items():
            scores[name][batch] = values.float().cpu().numpy()
    return scores
