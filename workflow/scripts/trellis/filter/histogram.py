"""A source's tokens by cell and rank: all that a plan must know of documents, however many there are."""

import numpy as np

# A rank is the score in 1/1024 of its range, best first, and then the hash in 1/64; inside a rank the hash decides.
SCORE_STEPS = 1024
HASH_BITS = 6

RECORD = np.dtype(
    [
        ("place", np.int64),
        ("doc_id", np.uint64),
        ("hash", np.uint64),
        ("tokens", np.int64),
        ("cell", np.int32),
        ("rank", np.int32),
        ("groups", np.uint32),
        ("group", np.int8),
        ("bin", np.int8),
        ("relevance", np.float32),
        ("complexity", np.float32),
        ("code_quality", np.float32),
        ("structured_data", np.float32),
    ]
)


def ranks(score: np.ndarray, hashes: np.ndarray, hash_bits: int) -> np.ndarray:
    """The rank of documents by score, 0..1 (1 is the best), and hash (uint64, the lowest first): int32, lowest first."""
    steps = SCORE_STEPS - 1 - np.clip(np.floor(score * SCORE_STEPS), 0, SCORE_STEPS - 1)
    below = (hashes >> np.uint64(63 - hash_bits) >> np.uint64(1)).astype(np.int32)
    return (steps.astype(np.int32) << hash_bits) + below


class Histogram:
    """Tokens by cell and rank, int64 [cells, ranks]. Adding documents in another order, or adding up histograms of parts,
    gives the same."""

    def __init__(self, cells: int, hash_bits: int) -> None:
        self.tokens = np.zeros((cells, SCORE_STEPS << hash_bits), np.int64)

    def add(self, records: np.ndarray) -> None:
        places = records["cell"].astype(np.int64) * self.tokens.shape[1] + records["rank"]
        np.add.at(self.tokens.reshape(-1), places, records["tokens"])

    def cut(self, needed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Per cell the rank in which its `needed` tokens are reached (-1 where none are needed), and the tokens in the
        ranks before it."""
        reached = np.cumsum(self.tokens, axis=1)
        cut = np.where(needed > 0, (reached < needed[:, None]).sum(axis=1), -1)
        before = np.take_along_axis(reached - self.tokens, np.maximum(cut, 0)[:, None], axis=1)[:, 0]
        return cut, np.where(cut < 0, 0, before)


def settle(tied: np.ndarray, open_tokens: np.ndarray) -> np.ndarray:
    """Of the documents in the ranks that are cut, those that are taken: in every cell the lowest hashes until its
    `open_tokens` are reached. What one cell has too much, at most a document, the next one takes less, so that all cells
    together are too large by less than one document."""
    tied = tied[np.lexsort((tied["hash"], tied["cell"]))]
    bounds = np.searchsorted(tied["cell"], np.arange(len(open_tokens) + 1))
    taken, over = [], 0
    for cell, tokens in enumerate(open_tokens):
        documents = tied[bounds[cell] : bounds[cell + 1]]
        reached = np.cumsum(documents["tokens"])
        wanted = int(tokens) - over
        number = int(np.searchsorted(reached, wanted)) + 1 if wanted > 0 else 0
        taken.append(documents[:number])
        over = (int(reached[number - 1]) if number else 0) - wanted
    return np.concatenate(taken)
