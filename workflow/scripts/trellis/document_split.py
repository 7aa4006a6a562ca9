"""Hashes of documents that decide what becomes of them: which are held out, and in which order the others are taken.

A function of a document's id and a seed alone, so that every stage comes to the same split, whatever else it knows.
"""

import numpy as np
import xxhash


def held_out(doc_id: np.ndarray, seed: int, share: float) -> np.ndarray:
    """Which of the documents (uint64 [documents]) are held out for validation: bool [documents], `share` of them all."""
    return mixed(doc_id, seed, "validation") / 2.0**64 < share


def mixed(doc_id: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """A uint64 per document, another for another document and independent between purposes: splitmix64 (Steele et al.,
    2014) of id and seed."""
    salt = np.uint64(xxhash.xxh3_64_intdigest(f"{seed}\0{purpose}".encode()))
    value = doc_id ^ salt
    for shift, multiplier in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(multiplier)
    return value ^ (value >> np.uint64(31))
