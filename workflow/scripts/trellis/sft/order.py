"""The order of the examples: fixed before any model is loaded, hence the same for every model."""

import random
from typing import Any

# Batches whose examples are sorted by length together: enough to save most padding, few enough to stay well mixed.
WINDOW = 32


def training_order(examples: list[dict[str, Any]], epochs: int, batch: int, seed: int) -> list[int]:
    """Indices of the examples, `epochs` times each, in batches of similar length and random order.

    Lengths are characters, not tokens: models with different tokenizers see the same order. Only the last batch of an
    epoch may be smaller than `batch`.
    """
    lengths = [sum(len(message["content"]) for message in example["messages"]) for example in examples]
    rng = random.Random(seed)
    order = []
    for _ in range(epochs):
        shuffled = rng.sample(range(len(examples)), len(examples))
        whole = len(shuffled) - len(shuffled) % batch
        batches = []
        for start in range(0, whole, batch * WINDOW):
            window = sorted(shuffled[start : min(start + batch * WINDOW, whole)], key=lambda i: (lengths[i], i))
            batches += [window[i : i + batch] for i in range(0, len(window), batch)]
        rng.shuffle(batches)
        order += [index for indices in [*batches, shuffled[whole:]] for index in indices]
    return order
