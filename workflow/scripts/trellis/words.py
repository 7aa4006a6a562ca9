"""Words of texts as 64-bit hashes, and word n-grams rolled from them.

A word is a run of letters, digits and underscores (`\\w+`), case-folded character by character. Its hash is a polynomial
over its characters (Karp & Rabin, 1987) modulo 2**64, read off a running sum, so that numpy hashes all words of many
texts at once: no word ever becomes a Python object.
Many texts lie in one flat array; `offsets` [texts + 1] say where each begins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import xxhash

# An odd multiplier can be inverted modulo 2**64, which is how a word's place leaves its hash. It is 5 modulo 8, so that
# a power minus one, by which the hashes of anagrams differ, keeps as few factors of two as can be.
MULTIPLIER = 0xD1342543DE82EF95
INVERSE = pow(MULTIPLIER, -1, 2**64)
# 2**64 over the golden ratio, for n-grams of words.
NGRAM_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
# Characters hashed at a time: the arrays stay in the processor's cache.
BLOCK = 2**16
# No letter or digit has a higher code point (Unicode 17 ends at U+33479).
CODE_POINTS = 0x34000


@dataclass(frozen=True)
class Flat:
    """uint64 `hashes` of all texts and int64 `offsets`."""

    hashes: np.ndarray
    offsets: np.ndarray

    def of(self, text: int) -> np.ndarray:
        return self.hashes[self.offsets[text] : self.offsets[text + 1]]


def hash_words(texts: list[str]) -> Flat:
    """The hash of each word, in order."""
    hashes, counts = [], [np.zeros(1, np.int64)]
    for block in blocks(texts, BLOCK):
        found, lengths = _hash_block(block)
        hashes.append(found)
        counts.append(lengths)
    return Flat(np.concatenate([np.empty(0, np.uint64), *hashes]), np.cumsum(np.concatenate(counts)))


def ngrams(words: Flat, n: int) -> Flat:
    """The n-grams of each text in order, n - 1 fewer than its words (none for a text of fewer than n words)."""
    lengths = np.diff(words.offsets)
    rolled = roll(words.hashes, n)
    places = len(rolled)
    text = np.repeat(np.arange(len(lengths)), lengths)
    whole = text[:places] == text[n - 1 :] if places else np.empty(0, bool)
    return Flat(rolled[whole], np.concatenate([[0], np.cumsum(np.maximum(lengths - n + 1, 0))]))


def roll(hashes: np.ndarray, n: int) -> np.ndarray:
    """The n-grams of one sequence of hashes."""
    places = max(len(hashes) - n + 1, 0)
    rolled = np.zeros(places, np.uint64)
    for shift in range(n):
        rolled *= NGRAM_MULTIPLIER
        rolled += hashes[shift : shift + places]
    return rolled


def blocks(texts: list[str], characters: int) -> Iterator[list[str]]:
    """The texts in order, as many at a time as hold `characters`; a longer text comes alone."""
    block, size = [], 0
    for text in texts:
        if block and size + len(text) > characters:
            yield block
            block, size = [], 0
        block.append(text)
        size += len(text)
    if block:
        yield block


def _hash_block(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The words' hashes and how many each text has. Texts are joined by characters that belong to no word."""
    joined = "\0".join(texts)
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    values = _values()[np.minimum(points, CODE_POINTS)]
    inside = np.zeros(len(points) + 2, bool)
    np.not_equal(values, 0, out=inside[1:-1])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[::2], edges[1::2]
    powers, inverses = _powers(max(BLOCK + 1, 1 << (len(points) - 1).bit_length()) if len(points) else 1)
    values *= powers[: len(points)]
    sums = np.zeros(len(points) + 1, np.uint64)
    np.cumsum(values, out=sums[1:])
    hashes = (sums[ends] - sums[starts]) * inverses[starts]
    hashes ^= hashes >> np.uint64(32)
    hashes *= NGRAM_MULTIPLIER
    hashes ^= hashes >> np.uint64(29)
    borders = np.cumsum([0, *(len(text) + 1 for text in texts)])
    return hashes, np.diff(np.searchsorted(starts, borders))


@cache
def _values() -> np.ndarray:
    """A random number for each code point, its case folded; 0 for what belongs to no word."""
    values = np.zeros(CODE_POINTS + 1, np.uint64)
    for point in range(CODE_POINTS):
        character = chr(point)
        if character.isalnum() or character == "_":
            values[point] = xxhash.xxh3_64_intdigest(character.casefold().encode()) | 1
    return values


@lru_cache(2)
def _powers(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The powers of the multiplier from 0 to `size` - 1, and their inverses."""
    made = []
    for base in (MULTIPLIER, INVERSE):
        powers = np.full(size, base, np.uint64)
        powers[0] = 1
        made.append(np.cumprod(powers, dtype=np.uint64))
    return made[0], made[1]
