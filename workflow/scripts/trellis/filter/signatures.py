"""MinHash signatures: the share of equal components estimates the Jaccard similarity of two texts' word n-gram sets."""

from importlib.metadata import version

import numpy as np
from rensa import RMinHash

from trellis.filter.ngrams import Flat, ngrams

SEED = 42


def signatures(words: Flat, n: int, components: int) -> list[list[int] | None]:
    """A uint32 signature per document; None where it has no words. A text of fewer than n words is its own n-gram."""
    grams = ngrams(_padded(words, n), n)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        grams.hashes, grams.offsets.astype(np.uint64), components, SEED
    )
    filled = np.diff(words.offsets) > 0
    return [row if has_words else None for row, has_words in zip(matrix.to_rows(), filled, strict=True)]


def provenance() -> dict[str, str | int]:
    """What a signature can be compared with: others of the same algorithm."""
    return {"rensa": version("rensa"), "algorithm": RMinHash.ALGORITHM_VERSION}


def _padded(words: Flat, n: int) -> Flat:
    """Zeros behind the words of short documents, up to n of them."""
    lengths = np.diff(words.offsets)
    missing = np.where(lengths > 0, np.maximum(n - lengths, 0), 0)
    if not missing.any():
        return words
    hashes = np.insert(words.hashes, np.repeat(words.offsets[1:], missing), np.uint64(0))
    return Flat(hashes, np.concatenate([[0], np.cumsum(lengths + missing)]))
