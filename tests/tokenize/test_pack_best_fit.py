"""Best-fit packing: what the plainest greedy does, for any lengths, and far fewer cuts than concatenation."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packed_streams import is_cut, rows_of
from trellis.tokenize import best_fit as module
from trellis.tokenize.best_fit import best_fit, needless_cuts


def plain_best_fit(lengths: list[int], context: int, begin: int) -> list[int]:
    """One document after the other: of all that need not be cut here, or else of all, the one that goes furthest into the
    last row of those that it would fill alone."""

    def tail(place: int) -> int:
        return lengths[place] - 1 - (rows_of(0, lengths[place], context) - 1) * context

    left, order = list(range(len(lengths))), []
    while left:
        fitting = [place for place in left if not is_cut(begin, lengths[place], context)]
        order.append(max(fitting or left, key=tail))
        left.remove(order[-1])
        begin += lengths[order[-1]]
    return order


@settings(deadline=None)
@given(
    lengths=st.lists(st.one_of(st.integers(1, 9), st.integers(1, 60)), max_size=80),
    context=st.integers(1, 24),
    begin=st.integers(0, 100),
    chunk=st.sampled_from([1, 7, 1 << 20]),
)
def test_best_fit_is_the_plain_greedy_and_cuts_are_counted_right(lengths, context, begin, chunk):
    array = np.array(lengths, np.uint32)
    with patch.object(module, "CHUNK", chunk):
        order = best_fit(array, context, begin)
        counted = needless_cuts(array, context, begin)
    assert order.tolist() == plain_best_fit(lengths, context, begin)
    starts = begin + np.cumsum([0, *lengths])
    assert counted == sum(is_cut(int(start), length, context) for start, length in zip(starts, lengths, strict=False))


@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4, unique=True),
    counts=st.lists(st.integers(1, 400), min_size=4, max_size=4),
    context=st.integers(1, 12),
)
def test_periods_that_are_taken_at_once_are_what_one_by_one_would_give(lengths, counts, context):
    """Few different lengths and many documents: nearly everything is taken in periods."""
    documents = np.repeat(np.array(lengths, np.uint32), counts[: len(lengths)])
    offset, expected = 0, []
    tails = {length: length - 1 - (rows_of(0, length, context) - 1) * context for length in lengths}
    by_tail: dict[int, list[int]] = {}
    for place, length in enumerate(documents.tolist()):
        by_tail.setdefault(tails[length], []).append(place)
    for _ in documents:
        there = [tail for tail, places in by_tail.items() if places]
        tail = max([tail for tail in there if offset + tail <= context] or there)
        expected.append(by_tail[tail].pop(0))
        offset = (offset + int(documents[expected[-1]])) % context
    assert best_fit(documents, context).tolist() == expected


def test_documents_of_one_length_keep_their_order():
    order = best_fit(np.full(1000, 7, np.uint32), 16)
    assert order.tolist() == list(range(1000))


@pytest.mark.parametrize("spread", [0.8, 1.0, 1.2])
@pytest.mark.parametrize(("count", "share"), [(2_000, 0.25), (50_000, 0.05)])
def test_on_realistic_lengths_few_documents_are_cut(count, share, spread):
    """Log-normal lengths with a mean of 1,000 tokens: concatenation cuts a third of them."""
    lengths = np.random.default_rng(0).lognormal(np.log(1000) - spread**2 / 2, spread, count).astype(np.uint32) + 1
    in_order, packed = needless_cuts(lengths, 2048), needless_cuts(lengths[best_fit(lengths, 2048)], 2048)
    assert in_order > 0.25 * count
    assert packed < share * in_order


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6), count=st.integers(300, 3_000), spread=st.floats(0.5, 1.5), mean=st.integers(50, 3_000)
)
def test_never_more_cuts_than_concatenation(seed, count, spread, mean):
    """Of a few dozen documents chance may leave fewer whole; of hundreds it does not."""
    lengths = np.random.default_rng(seed).lognormal(np.log(mean) - spread**2 / 2, spread, count).astype(np.uint32) + 1
    assert needless_cuts(lengths[best_fit(lengths, 2048)], 2048) <= needless_cuts(lengths, 2048)
