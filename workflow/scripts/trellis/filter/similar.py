"""Near-duplicates among signatures: banded LSH proposes pairs, the signatures themselves decide, components cluster."""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Documents that share a band are compared with this many neighbours each: all pairs of small groups, a dense chain
# through large ones, so that a text with a million copies costs no more than its share.
NEIGHBOURS = 8
BLOCK = 100_000


def cluster(signatures: np.ndarray, usable: np.ndarray, bands: int, similarity: float) -> np.ndarray:
    """The component of each document, int32 [documents]. `signatures` [documents, components] may be a memory map; the
    order of documents must not depend on shards, and those not `usable` stay alone."""
    components = np.arange(len(signatures), dtype=np.int32)
    rows = signatures.shape[1] // bands
    documents = np.flatnonzero(usable)
    for band in range(bands):
        keys = _keys(signatures, documents, band * rows, rows)
        order = np.argsort(keys, kind="stable")
        for one, other in _neighbours(keys[order], documents[order]):
            apart = components[one] != components[other]
            one, other = one[apart], other[apart]
            alike = _similarity(signatures, one, other) >= similarity
            components = _joined(components, one[alike], other[alike])
    return components


def _keys(signatures: np.ndarray, documents: np.ndarray, start: int, rows: int) -> np.ndarray:
    """One uint64 per document from `rows` components; equal components give equal keys."""
    keys = np.zeros(len(documents), np.uint64)
    for first in range(0, len(documents), BLOCK):
        block = signatures[documents[first : first + BLOCK], start : start + rows]
        part = keys[first : first + BLOCK]
        for row in range(rows):
            part ^= block[:, row]
            part *= np.uint64(0x9E3779B97F4A7C15)
            part ^= part >> np.uint64(29)
    return keys


def _neighbours(keys: np.ndarray, documents: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for distance in range(1, NEIGHBOURS + 1):
        equal = keys[distance:] == keys[:-distance]
        yield documents[:-distance][equal], documents[distance:][equal]


def _similarity(signatures: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The estimated Jaccard similarity of pairs."""
    found = np.empty(len(one), np.float32)
    for first in range(0, len(one), BLOCK):
        block = slice(first, first + BLOCK)
        found[block] = (signatures[one[block]] == signatures[other[block]]).mean(axis=1)
    return found


def _joined(components: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    if not len(one):
        return components
    size = int(components.max()) + 1
    edges = coo_array((np.ones(len(one), bool), (components[one], components[other])), shape=(size, size))
    return connected_components(edges, directed=False)[1][components]
