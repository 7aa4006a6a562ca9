"""Disjoint sets (Tarjan, 1975) for numpy: many documents are joined at a time, at four bytes a document."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BLOCK = 2**20


class Forest:
    """Documents 0..count-1, each alone at first; the lowest document of a set stands for it."""

    def __init__(self, count: int) -> None:
        self.parents = np.arange(count, dtype=np.uint32)

    def find(self, documents: np.ndarray) -> np.ndarray:
        """The lowest document of each one's set."""
        roots = self.parents[documents]
        while True:
            above = self.parents[roots]
            if np.array_equal(above, roots):
                break
            roots = above
        self.parents[documents] = roots
        return roots

    def join(self, one: np.ndarray, other: np.ndarray) -> None:
        """Joins the sets of `one[i]` and `other[i]` for every i."""
        if not len(one):
            return
        roots, places = np.unique(np.concatenate([self.find(one), self.find(other)]), return_inverse=True)
        edges = coo_array((np.ones(len(one), bool), (places[: len(one)], places[len(one) :])), shape=(len(roots),) * 2)
        _, components = connected_components(edges, directed=False)
        _, first = np.unique(components, return_index=True)
        self.parents[roots] = roots[first][components]

    def roots(self) -> np.ndarray:
        """The lowest document of every document's set, uint32 [documents]."""
        for first in range(0, len(self.parents), BLOCK):
            self.find(np.arange(first, min(first + BLOCK, len(self.parents))))
        return self.parents
