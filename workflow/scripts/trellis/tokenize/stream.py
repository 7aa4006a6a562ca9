"""The order in which a source's documents fill its rows, each read as often as the mixture says.

A source with `repeat` is read in passes: whole ones, which read every selected document, and a last one, which reads as many
as the budget still needs. The first pass takes documents by rank, which is a seeded order, each further pass in a seeded
order of its own; every pass is packed by itself, so that copies of a document do not meet in a row, unless where one pass
ends and the next begins.
"""

from collections.abc import Iterator

import numpy as np

from trellis.tokenize.best_fit import best_fit, needless_cuts


class Stream:
    """Documents of `lengths` tokens (uint32 [documents], by rank, more than none) in exactly `tokens` tokens. `documents`
    (a repeated one counts each time), `left_over`, `cut` and `cut_in_reading_order` are complete after the last order."""

    def __init__(self, lengths: np.ndarray, tokens: int, context: int, packing: str, seed: int) -> None:
        self.lengths, self.tokens, self.context, self.packing, self.seed = lengths, tokens, context, packing, seed
        self.available = int(lengths.sum(dtype=np.int64))
        self.documents = self.left_over = self.cut = self.cut_in_reading_order = 0

    def orders(self) -> Iterator[np.ndarray]:
        """The documents' ranks, uint32, pass after pass; the last document of all ends after `tokens` tokens."""
        begin = 0
        for drawn, tokens in self._passes():
            lengths = self.lengths[drawn]
            over = int(lengths.sum(dtype=np.int64)) - tokens
            lengths[-1] -= over
            order = self._packed(lengths[:-1] if over else lengths, begin)
            if over:  # the last document ends where the budget does, and stays the last
                order = np.append(order, np.uint32(len(order)))
            self.documents += len(drawn)
            self.left_over += over
            self.cut += needless_cuts(lengths[order], self.context, begin)
            self.cut_in_reading_order += needless_cuts(lengths, self.context, begin)
            begin += tokens
            yield drawn[order]

    def _packed(self, lengths: np.ndarray, begin: int) -> np.ndarray:
        if self.packing == "best_fit":
            return best_fit(lengths, self.context, begin)
        return np.arange(len(lengths), dtype=np.uint32)

    def _passes(self) -> Iterator[tuple[np.ndarray, int]]:
        """(ranks of the documents in reading order, the tokens that are read of them) of each pass."""
        for number, begin in enumerate(range(0, self.tokens, self.available)):
            drawn = np.arange(len(self.lengths), dtype=np.uint32)
            if number:
                np.random.Generator(np.random.PCG64([self.seed, number])).shuffle(drawn)
            tokens = min(self.available, self.tokens - begin)
            if tokens < self.available:
                ends = np.cumsum(self.lengths[drawn], dtype=np.int64)
                drawn = drawn[: np.searchsorted(ends, tokens) + 1].copy()
            yield drawn, tokens
