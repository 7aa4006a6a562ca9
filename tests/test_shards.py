"""Patterns, bundles and shards: a pure function of the lock, each file read once."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trellis.experiment.lock import PinnedFile
from trellis.patterns import matching
from trellis.shards import SHARD_BYTES, bundles, shard_count, stem

PATHS = ["data/a.parquet", "data/b.parquet", "data/deep/c.parquet", "json/x.parquet", "README.md"]


def pinned(size):
    return PinnedFile(bytes=size, sha256="0" * 64)


def test_a_star_stays_in_its_folder_and_two_go_deeper():
    assert matching(PATHS, ["data/*"]) == ["data/a.parquet", "data/b.parquet"]
    assert matching(PATHS, ["data/**/*.parquet"]) == ["data/a.parquet", "data/b.parquet", "data/deep/c.parquet"]
    assert matching(reversed(PATHS), ["json/*", "*.md", "json/x.parquet"]) == ["README.md", "json/x.parquet"]


@pytest.mark.parametrize("pattern", ["Data/*", "data", "data/?.parquet", "json/x"])
def test_a_pattern_without_a_match_is_named(pattern):
    with pytest.raises(KeyError, match=re.escape(pattern)):
        matching(PATHS, ["data/*", pattern])


@given(
    st.dictionaries(
        st.from_regex(r"[a-c]/[a-z]{1,4}\.(parquet|json\.gz|jsonl)", fullmatch=True), st.integers(0, 10**10)
    )
)
def test_every_file_is_in_one_bundle_whatever_order_the_lock_has(sizes):
    files = {path: pinned(size) for path, size in sizes.items()}
    made = bundles(files)
    assert Counter(path for bundle in made for path in bundle) == Counter(files.keys())
    assert made == bundles(dict(reversed(files.items())))
    assert [path for bundle in made for path in bundle] == sorted(files)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", stem(bundle)) for bundle in made)


def test_shards_hold_about_a_gigabyte_of_text():
    large = {"a.parquet": pinned(2_200_000_000)}
    assert bundles(large | {"b.parquet": pinned(1000)}) == [large, {"b.parquet": pinned(1000)}]
    assert shard_count(large) == 4
    small = {f"site/{number:03}.parquet": pinned(10**7) for number in range(120)}
    made = bundles(small)
    assert [len(bundle) for bundle in made] == [50, 50, 20]
    assert all(shard_count(bundle) == 1 for bundle in made)
    assert shard_count({"x.jsonl": pinned(3 * SHARD_BYTES)}) == 3


def test_a_bundles_name_does_not_depend_on_what_else_is_locked():
    large = {f"data/f{number}.parquet": pinned(10**9) for number in range(5)}
    names = {stem(bundle) for bundle in bundles(large)}
    assert names >= {stem(bundle) for bundle in bundles({path: large[path] for path in sorted(large)[1:4]})}
    assert stem({"sample/100BT/000_00003.parquet": pinned(1)}) == "100BT-000_00003"
