"""Which evaluation texts a text may hold: those with which it shares an n-gram that few of them have."""

import numpy as np

from trellis.words import Flat, ngrams

# An n-gram of more evaluation texts than this is a turn of phrase (a prompt, the syntax of a schema): it leads to none of
# them, unless a text has nothing rarer.
COMMON = 20


class Seeds:
    """The rarer n-grams of the texts in `members` (bool [texts]), sorted by hash."""

    def __init__(self, words: Flat, n: int, members: np.ndarray) -> None:
        self.n = n
        grams = ngrams(words, n)
        lengths = np.diff(grams.offsets)
        text = np.repeat(np.arange(len(lengths)), lengths)
        kept = members[text]
        pairs = np.unique(np.stack([grams.hashes[kept], text[kept].astype(np.uint64)], axis=1), axis=0)
        hashes, text = pairs[:, 0], pairs[:, 1].astype(np.int64)
        _, place, frequency = np.unique(hashes, return_inverse=True, return_counts=True)
        lowest = np.full(len(lengths), np.iinfo(np.int64).max)
        np.minimum.at(lowest, text, frequency[place])
        leading = frequency[place] <= np.maximum(lowest, COMMON)[text]
        self.hashes, self.text = hashes[leading], text[leading]
        # A table of bytes by the lowest bits of a hash says no at once to nearly all n-grams of a clean document.
        size = 1 << max(16 * len(self.hashes), 2**10).bit_length()
        self.mask = np.uint64(min(size, 2**26) - 1)
        self.known = np.zeros(int(self.mask) + 1, bool)
        self.known[self.hashes & self.mask] = True

    def candidates(self, words: Flat) -> np.ndarray:
        """(document, text) of every pair that shares a seed, int64 [pairs, 2], without repetition."""
        grams = ngrams(words, self.n)
        maybe = np.flatnonzero(self.known[grams.hashes & self.mask])
        hashes = grams.hashes[maybe]
        low = np.searchsorted(self.hashes, hashes)
        counts = np.searchsorted(self.hashes, hashes, side="right") - low
        document = np.repeat(np.searchsorted(grams.offsets, maybe, side="right") - 1, counts)
        entry = np.repeat(low - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        return np.unique(np.stack([document, self.text[entry]], axis=1), axis=0)
