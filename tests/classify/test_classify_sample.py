"""The sample: exact size, shared among sources, a pure function of seed and doc_id."""

import itertools
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trellis.classify.sample import draw, find, quotas, split, take

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


def tables(folder, ids, cuts, group=7):
    """The documents in files cut at `cuts`, in small row groups."""
    folder.mkdir()
    paths, edges = [], [0, *cuts, len(ids)]
    for start, end in itertools.pairwise(edges):
        rows = {
            "doc_id": pa.array(ids[start:end], pa.uint64()),
            "text": [str(doc_id % 100) for doc_id in ids[start:end]],
        }
        paths.append(folder / f"{start:04}.parquet")
        pq.write_table(pa.table(rows), paths[-1], row_group_size=group)
    return paths


def test_a_stratified_sample_is_the_same_however_the_source_is_cut(tmp_path):
    ids = _ids(1000)

    def rare(text):
        return "rare" if int(text) < 5 else "common"

    one = draw(tables(tmp_path / "one", ids, []), 1000, 100, 1, rare)
    many = draw(tables(tmp_path / "many", ids[::-1], [1, 2, 500], group=100), 1000, 100, 1, rare)
    assert one == many and len(one) == 100
    assert draw(tables(tmp_path / "other", ids, []), 1000, 100, 2, rare) != one
    by_weight = {weight: [doc_id for doc_id in one if one[doc_id] == weight] for weight in set(one.values())}
    assert len(by_weight) == 2 and sum(one.values()) == pytest.approx(1000)
    lighter = by_weight[min(by_weight)]
    assert all(doc_id % 100 < 5 for doc_id in lighter) and 10 <= len(lighter) <= 30


def test_a_plain_sample_is_the_lowest_hashes_at_equal_weight(tmp_path):
    ids = _ids(300)
    drawn = draw(tables(tmp_path / "plain", ids, [100]), 300, 60, 1, None)
    assert drawn.keys() == take(ids, 60, 1) and set(drawn.values()) == {5.0}


def test_all_documents_when_there_are_no_more(tmp_path):
    ids = _ids(50)
    paths = tables(tmp_path / "small", ids, [])
    assert draw(paths, 50, 50, 1, lambda text: text[:1]).keys() == set(ids)
    assert draw(paths, 50, 0, 1, lambda text: text) == draw(paths, 50, 0, 1, None) == {}


def test_only_the_wanted_rows_are_found_in_order(tmp_path):
    ids = _ids(60)
    paths = tables(tmp_path / "found", ids, [20])
    wanted = set(ids[::9])
    assert [row["doc_id"] for row in find(paths, wanted, ["doc_id", "text"])] == ids[::9]
    assert list(find(paths, {1, 2, 3}, ["doc_id"])) == []
