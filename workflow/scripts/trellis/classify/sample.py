"""Which documents are labelled, and into which split each falls: pure functions of seed and doc_id."""

import heapq
from collections.abc import Iterable

import xxhash


def hashed(seed: int, purpose: str, doc_id: int) -> float:
    """A number in 0..1, independent between purposes."""
    return xxhash.xxh3_64_intdigest(f"{seed}\0{purpose}\0{doc_id}".encode()) / 2**64


def quotas(sizes: dict[str, int], weights: dict[str, int], sample: int) -> dict[str, int]:
    """How many documents to take of each source: `sample` in all, by weight (1 where none is given); what a small
    source cannot give goes to the others. All documents when there are no more than `sample`."""
    taken, left, open_sources = {}, sample, sorted(sizes)
    while open_sources:
        total = sum(weights.get(name, 1) for name in open_sources)
        small = [name for name in open_sources if sizes[name] * total <= left * weights.get(name, 1)]
        if not small:
            # Whole documents: cumulative rounding keeps the sum exact.
            before = 0
            for name in open_sources:
                after = before + weights.get(name, 1)
                taken[name] = left * after // total - left * before // total
                before = after
            break
        taken.update((name, sizes[name]) for name in small)
        left -= sum(sizes[name] for name in small)
        open_sources = [name for name in open_sources if name not in small]
    return taken


def take(doc_ids: Iterable[int], count: int, seed: int) -> set[int]:
    """The `count` documents with the lowest hash."""
    return set(heapq.nsmallest(count, doc_ids, key=lambda doc_id: (hashed(seed, "sample", doc_id), doc_id)))


def split(doc_id: int, validation_share: float, test_share: float, seed: int) -> str:
    """train, validation or test."""
    place = hashed(seed, "split", doc_id)
    return "test" if place < test_share else "validation" if place < test_share + validation_share else "train"
