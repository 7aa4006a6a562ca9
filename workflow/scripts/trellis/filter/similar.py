"""Near-duplicates among signatures: documents that share a band are candidates, the signatures decide, components cluster.

Works at some 24 bytes a document in memory, whatever the number of documents and the sizes of their groups.
"""

from collections.abc import Iterator

import numpy as np

from trellis.filter.forest import Forest
from trellis.filter.signature_file import SignatureFile
from trellis.filter.signatures import estimate
from trellis.progress import Bar

# Documents that share a band are compared with this many neighbours each, by doc_id: all pairs of small groups, a dense
# chain through large ones, so that a text with a million copies costs no more than its share.
NEIGHBOURS = 8
# Documents sorted at a time, and pairs compared at a time.
PART = 2**22
BLOCK = 2**15


def cluster(
    file: SignatureFile, order: np.ndarray, usable: np.ndarray, rows: int, similarity: float | None, bar: Bar
) -> np.ndarray:
    """The lowest rank in each document's cluster, uint32 [documents], by rank. `order` [documents] holds the place in
    `file` of the document of each rank; documents that are not `usable` (by rank) stay alone. Candidates whose estimated
    similarity is at least `similarity` are joined, all candidates where it is None. `bar` counts bands."""
    forest = Forest(len(order))
    rank = np.empty(len(order), np.uint32)
    for first in range(0, len(order), PART):
        block = order[first : first + PART]
        rank[block] = np.arange(first, first + len(block), dtype=np.uint32)
    for band in range(file.bands):
        for one, other in candidates(file.band(band, rank), usable):
            for first in range(0, len(one), BLOCK):
                block = slice(first, first + BLOCK)
                apart = forest.find(one[block]) != forest.find(other[block])
                left, right = one[block][apart], other[block][apart]
                if similarity is not None and len(left):
                    alike = estimate(file.rows(order[left]), file.rows(order[right]), rows) >= similarity
                    left, right = left[alike], right[alike]
                forest.join(left, right)
        bar.advance()
    return forest.roots()


def candidates(keys: np.ndarray, usable: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of documents of equal key, a part of the range of keys at a time."""
    bits = max((len(keys) - 1) // PART, 0).bit_length()
    for part in range(1 << bits):
        members = _members(keys, usable, bits, part)
        ordered, members = _grouped(keys[members], members, bits)
        for distance in range(1, NEIGHBOURS + 1):
            equal = ordered[distance:] == ordered[:-distance]
            yield members[:-distance][equal], members[distance:][equal]


def _members(keys: np.ndarray, usable: np.ndarray, bits: int, part: int) -> np.ndarray:
    """The usable documents whose key begins with the `bits` bits of `part`."""
    found = []
    for first in range(0, len(keys), PART):
        chosen = usable[first : first + PART]
        if bits:
            chosen = chosen & (keys[first : first + PART] >> np.uint64(64 - bits) == part)
        found.append((np.flatnonzero(chosen) + first).astype(np.uint32))
    return np.concatenate(found) if found else np.empty(0, np.uint32)


def _grouped(keys: np.ndarray, members: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Members that share their key with another one, sorted by key and, among equal ones, by member. All keys agree in
    their highest `bits`. A place takes the lowest bits of its key, so that one sort in place, the fastest there is, does
    it; keys that differ in those bits alone may mix, which `candidates` outlives by comparing whole keys."""
    low = np.uint64((1 << len(keys).bit_length()) - 1)
    packed = keys << np.uint64(bits)
    packed &= ~low
    packed |= np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    high = packed & ~low
    same = high[1:] == high[:-1]
    shared = np.zeros(len(keys), bool)
    shared[1:] = same
    shared[:-1] |= same
    places = packed[shared] & low
    return keys[places], members[places]
