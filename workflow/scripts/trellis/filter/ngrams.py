"""Word n-grams as 64-bit hashes: every word of a text is hashed once, n-grams of any length are rolled from the hashes.

Many documents lie in one flat array; `offsets` [documents + 1] say where each begins.
"""

import re
from dataclasses import dataclass

import numpy as np
import xxhash

WORD = re.compile(r"\w+")
# An odd multiplier keeps the polynomial a bijection of each word's hash; this one is 2**64 over the golden ratio.
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Flat:
    """uint64 `hashes` of all documents and int64 `offsets`."""

    hashes: np.ndarray
    offsets: np.ndarray

    def of(self, document: int) -> np.ndarray:
        return self.hashes[self.offsets[document] : self.offsets[document + 1]]


def hash_words(texts: list[str]) -> Flat:
    """xxh3 of each case-folded word."""
    hashes, lengths = [], []
    for text in texts:
        words = WORD.findall(text.casefold())
        hashes += [xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass")) for word in words]
        lengths.append(len(words))
    return Flat(np.array(hashes, dtype=np.uint64), np.cumsum([0, *lengths]))


def ngrams(words: Flat, n: int) -> Flat:
    """The n-grams of each document in order, n - 1 fewer than its words (none for a document of fewer than n words)."""
    places = len(words.hashes) - n + 1
    if places <= 0:
        return Flat(np.empty(0, np.uint64), np.zeros_like(words.offsets))
    rolled = np.zeros(places, np.uint64)
    for shift in range(n):
        rolled = rolled * MULTIPLIER + words.hashes[shift : shift + places]
    lengths = np.diff(words.offsets)
    document = np.repeat(np.arange(len(lengths)), lengths)
    whole = document[:places] == document[n - 1 :]
    return Flat(rolled[whole], np.concatenate([[0], np.cumsum(np.maximum(lengths - n + 1, 0))]))
