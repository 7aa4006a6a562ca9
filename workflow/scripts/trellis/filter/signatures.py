"""MinHash signatures: the share of equal components estimates the Jaccard similarity of two documents' shingle sets.

A component keeps its lowest bits alone, 64 // rows of them (b-bit minwise hashing: Li & Koenig, 2010), so that the
components of a band are one uint64: two bands are equal if and only if these are. At 14 x 8 a document costs 112 bytes.
A component of two unrelated documents agrees by chance once in 2**bits; `estimate` allows for it.
"""

from importlib.metadata import version

import numpy as np
from rensa import RMinHash

from trellis.experiment.duplicates import Signature
from trellis.words import Flat

SEED = 42
# Documents whose components are Python lists at a time: rensa has no other way out.
BATCH = 2_000


def signatures(shingles: Flat, rules: Signature) -> np.ndarray:
    """uint64 [documents, bands]; zeros for a document without shingles."""
    documents = len(shingles.offsets) - 1
    keys = np.zeros((documents, rules.bands), np.uint64)
    for first in range(0, documents, BATCH):
        offsets = shingles.offsets[first : first + BATCH + 1]
        part = shingles.hashes[offsets[0] : offsets[-1]]
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            part, (offsets - offsets[0]).astype(np.uint64), rules.bands * rules.rows, SEED
        )
        keys[first : first + BATCH] = pack(np.array(matrix.to_rows(), np.uint32), rules.rows)
    keys[np.diff(shingles.offsets) == 0] = 0
    return keys


def pack(components: np.ndarray, rows: int) -> np.ndarray:
    """The band keys, uint64 [documents, bands], of components, uint32 [documents, bands x rows]."""
    bits = _bits(rows)
    banded = components.reshape(len(components), components.shape[1] // rows, rows)
    keys = np.zeros(banded.shape[:2], np.uint64)
    for row in range(rows):
        low = banded[:, :, row] & np.uint32((1 << bits) - 1)
        keys |= low.astype(np.uint64) << np.uint64(bits * row)
    return keys


def estimate(one: np.ndarray, other: np.ndarray, rows: int) -> np.ndarray:
    """The estimated Jaccard similarity of pairs, float64 [pairs]; `one` and `other` are uint64 [pairs, bands]."""
    bits = _bits(rows)
    different = one ^ other
    equal = np.zeros(len(one), np.int64)
    for row in range(rows):
        field = (different >> np.uint64(bits * row)) & np.uint64((1 << bits) - 1)
        equal += (field == 0).sum(axis=1)
    chance = 2.0**-bits
    return (equal / (one.shape[1] * rows) - chance) / (1 - chance)


def provenance() -> dict[str, str | int]:
    """What a signature can be compared with: others of the same algorithm."""
    return {"rensa": version("rensa"), "algorithm": RMinHash.ALGORITHM_VERSION}


def _bits(rows: int) -> int:
    return min(32, 64 // rows)
