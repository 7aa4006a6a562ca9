"""Best-fit packing: the order of documents in which a row's end cuts as few of them as it can.

After Ding et al. (arXiv 2404.10830), but without padding and with every document in one piece: documents follow each other
without a gap, and packing is the choice of their order. A row holds `context + 1` tokens, the last of which is also the
first of the next row. A document of n tokens, its end of text counted, lies in at least ceil((n - 1) / context) rows,
wherever it begins; it lies in no more of them exactly when its tail, the tokens that it reaches into the last row if it
begins with a row, fits into what is left of the row in which it begins. So each time the document with the longest tail
that fits comes next; where none fits one must be cut, and that is the one with the longest tail of all.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

# Documents that are looked at together.
CHUNK = 1 << 20


def best_fit(lengths: np.ndarray, context: int, begin: int = 0) -> np.ndarray:
    """The places, uint32 [documents], in the order in which documents of `lengths` tokens (at least 1) fill the rows of a
    stream that holds `begin` tokens. Of those with equal tails the first comes first."""
    tails = np.empty(len(lengths), np.min_scalar_type(context))
    counts = np.zeros(context + 1, np.int64)
    for part in _slices(len(lengths)):
        tails[part] = _tails(lengths[part], context)
        counts += np.bincount(tails[part], minlength=context + 1)
    by_tail, order = np.empty(len(lengths), np.uint32), np.empty(len(lengths), np.uint32)
    for part, places in _sorted_places(tails, counts):
        by_tail[places] = np.arange(part.start, part.stop)
    for part, places in _sorted_places(_greedy(counts, context, begin % context), counts):
        order[part] = by_tail[places]
    return order


def needless_cuts(lengths: np.ndarray, context: int, begin: int = 0) -> int:
    """How many documents lie in more rows than their length makes necessary, one after the other from token `begin`."""
    cut = 0
    for part in _slices(len(lengths)):
        some = lengths[part].astype(np.int64)
        begins = (np.cumsum(some) - some + begin) % context
        cut += int((begins + _tails(some, context) > context).sum())
        begin += int(some.sum())
    return cut


def _tails(lengths: np.ndarray, context: int) -> np.ndarray:
    """The tokens in the last row, without the one that the row before shares: 1 to `context`, or 0 for a single token."""
    lengths = lengths.astype(np.int64)
    return np.where(lengths > 1, (lengths - 2) % context + 1, 0)


def _greedy(counts: np.ndarray, context: int, offset: int) -> np.ndarray:
    """The tails in the order in which they are taken, `counts` of each; the first begins `offset` tokens into a row.

    What is taken depends on the offset and on which tails there are. So until one of these runs out, an offset that comes
    again begins the same period again, which is then taken as often as there is enough of it: the work grows with the
    number of different tails, not of documents.
    """
    there = int.from_bytes(np.packbits(counts > 0, bitorder="little").tobytes(), "little")
    left, taken, dtype = counts.tolist(), [], np.min_scalar_type(context)
    run: list[int] = []
    met: dict[int, int] = {}
    while there:
        if offset in met:
            needs = Counter(period := run[met[offset] :])
            times = min(left[tail] // need for tail, need in needs.items())
            taken += [np.array(run, dtype), np.tile(np.array(period, dtype), times)]
            run, met = [], {}
        else:
            met[offset] = len(run)
            # The bits up to the longest tail that fits.
            fitting = there & ((2 << (context - offset)) - 1)
            tail = (fitting or there).bit_length() - 1
            needs, times = {tail: 1}, 1
            run.append(tail)
            offset = (offset + tail + 1) % context
        for tail, need in needs.items():
            left[tail] -= times * need
            if not left[tail]:
                there, met = there ^ (1 << tail), {}
    return np.concatenate([*taken, np.array(run, dtype)])


def _sorted_places(keys: np.ndarray, counts: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """For some keys after the other, where each comes to stand once all are sorted, equals in their order; `counts` is how
    often there is each."""
    following = np.cumsum(counts) - counts
    for part in _slices(len(keys)):
        some = keys[part]
        numbers = np.bincount(some, minlength=len(counts))
        places = np.empty(len(some), np.int64)
        shift = following - (np.cumsum(numbers) - numbers)
        places[np.argsort(some, kind="stable")] = np.arange(len(some)) + np.repeat(shift, numbers)
        following += numbers
        yield part, places


def _slices(count: int) -> Iterator[slice]:
    for start in range(0, count, CHUNK):
        yield slice(start, min(start + CHUNK, count))
