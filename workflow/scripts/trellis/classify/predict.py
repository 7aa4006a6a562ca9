"""Scores of many documents by a trained classifier."""

import numpy as np
import torch

from trellis.classify.batches import by_length, pad
from trellis.classify.model import Classifier


def predict(model: Classifier, ids: list[list[int]], batch_tokens: int) -> dict[str, np.ndarray]:
    """float32 scores by rubric in the order of `ids`: [documents, labels] sigmoids or [documents] levels."""
    scores: dict[str, np.ndarray] = {}
    with torch.inference_mode():
        for batch in by_length([len(row) for row in ids], batch_tokens):
            for name, values in model(*pad([ids[place] for place in batch], model.pad_id, model.device)).items():
                values = values.float().cpu().numpy()
                scores.setdefault(name, np.empty((len(ids), *values.shape[1:]), np.float32))[batch] = values
    return scores
