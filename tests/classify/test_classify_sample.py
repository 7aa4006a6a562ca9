"""The sample: exact size, shared among sources, a pure function of seed and doc_id."""

import random

from hypothesis import given
from hypothesis import strategies as st

from trellis.classify.sample import quotas, split, take

sizes = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 400), min_size=1)


@given(sizes, st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 5)), st.integers(1, 2000))
def test_quotas_are_exact_and_never_more_than_there_is(sizes, weights, sample):
    taken = quotas(sizes, weights, sample)
    assert taken.keys() == sizes.keys()
    assert all(0 <= taken[name] <= sizes[name] for name in sizes)
    assert sum(taken.values()) == min(sample, sum(sizes.values()))


def test_what_a_small_source_cannot_give_goes_to_the_others():
    assert quotas({"a": 10, "b": 500, "c": 500}, {}, 210) == {"a": 10, "b": 100, "c": 100}
    assert quotas({"a": 500, "b": 500}, {"a": 3}, 200) == {"a": 150, "b": 50}


def _ids(count):
    rng = random.Random(0)
    return [rng.getrandbits(64) for _ in range(count)]


def test_the_sample_does_not_depend_on_the_order_of_documents():
    ids = _ids(500)
    assert take(ids, 100, seed=1) == take(sorted(ids), 100, seed=1)
    assert len(take(ids, 100, seed=1)) == 100
    assert take(ids, 100, seed=1) != take(ids, 100, seed=2)


def test_splits_have_their_shares_and_do_not_follow_the_sample():
    ids = _ids(6000)
    sampled = take(ids, 3000, seed=1)
    for group in (sampled, set(ids) - sampled):
        splits = [split(doc_id, 0.1, 0.2, seed=1) for doc_id in group]
        assert abs(splits.count("test") / 3000 - 0.2) < 0.03
        assert abs(splits.count("validation") / 3000 - 0.1) < 0.03
