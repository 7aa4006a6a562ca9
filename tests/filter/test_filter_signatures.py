"""N-grams, signatures and clusters against definitions, theory and planted similarity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trellis.filter.ngrams import hash_words, ngrams
from trellis.filter.signatures import signatures
from trellis.filter.similar import cluster

texts = st.lists(st.text("ab ,.A", max_size=30), max_size=6)


@given(texts, st.integers(1, 4))
def test_ngrams_are_those_of_each_document_alone(texts, n):
    grams = ngrams(hash_words(texts), n)
    assert len(grams.offsets) == len(texts) + 1
    for place, text in enumerate(texts):
        words = hash_words([text]).hashes.tolist()
        expected = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
        found = grams.of(place).tolist()
        assert len(found) == len(expected)
        assert len(set(found)) == len(set(expected))
        assert ngrams(hash_words([text]), n).hashes.tolist() == found


def test_case_and_punctuation_do_not_matter_and_order_does():
    same = ngrams(hash_words(["One, two THREE.", "one two three", "three two one"]), 3)
    assert same.of(0) == same.of(1) != same.of(2)


def test_a_short_text_is_its_own_ngram_and_an_empty_one_has_no_signature():
    one, same, other, empty = signatures(hash_words(["a b", "A  b!", "a c", " ... "]), 5, 16)
    assert one == same != other
    assert empty is None


def _pairs(rng, jaccard, count, size=400):
    """Flat hash sets in pairs of a known Jaccard similarity, as texts of one-word n-grams."""
    shared = round(2 * size * jaccard / (1 + jaccard))
    for _ in range(count):
        pool = [f"w{number}" for number in rng.integers(0, 2**62, 2 * size - shared)]
        yield " ".join(pool[:size])
        yield " ".join(pool[:shared] + pool[size:])


@pytest.mark.parametrize("jaccard", [0.5, 0.7, 0.9])
def test_equal_components_estimate_the_jaccard_similarity(jaccard):
    found = np.array(signatures(hash_words(list(_pairs(np.random.default_rng(1), jaccard, 60))), 1, 112))
    estimates = (found[::2] == found[1::2]).mean(axis=1)
    assert abs(estimates.mean() - jaccard) < 0.02
    assert estimates.std() < 1.3 * (jaccard * (1 - jaccard) / 112) ** 0.5


@pytest.mark.parametrize("jaccard", [0.3, 0.6, 0.7, 0.8, 0.9])
def test_banding_finds_what_theory_says(jaccard):
    # Without verification (similarity 0) a pair meets if one of 14 bands of 8 components agrees.
    rng, pairs = np.random.default_rng(2), 2000
    first = rng.integers(0, 2**32, (pairs, 112), dtype=np.uint32)
    second = np.where(rng.random((pairs, 112)) < jaccard, first, rng.integers(0, 2**32, (pairs, 112), dtype=np.uint32))
    components = cluster(np.stack([first, second], 1).reshape(-1, 112), np.ones(2 * pairs, bool), 14, 0.0)
    recall = (components[::2] == components[1::2]).mean()
    assert abs(recall - (1 - (1 - jaccard**8) ** 14)) < 0.035
    assert len(set(components[::2].tolist())) == pairs


def test_candidates_are_verified():
    rng = np.random.default_rng(3)
    one, other = rng.integers(0, 2**32, (2, 112), dtype=np.uint32)
    other[:8] = one[:8]
    both = np.stack([one, other])
    assert len(set(cluster(both, np.ones(2, bool), 14, 0.7).tolist())) == 2
    assert len(set(cluster(both, np.ones(2, bool), 14, 0.05).tolist())) == 1


def test_clusters_are_connected_components_of_any_size():
    rng = np.random.default_rng(4)
    chain = [rng.integers(0, 2**32, 112, dtype=np.uint32)]
    for step in range(6):
        following = chain[-1].copy()
        following[step * 16 : step * 16 + 16] = rng.integers(0, 2**32, 16, dtype=np.uint32)
        chain.append(following)
    copies = np.repeat(rng.integers(0, 2**32, (1, 112), dtype=np.uint32), 500, axis=0)
    table = np.concatenate([chain, copies])
    components = cluster(table, np.ones(len(table), bool), 14, 0.7)
    assert (table[0] == table[6]).mean() < 0.2
    assert len(set(components[:7].tolist())) == len(set(components[7:].tolist())) == 1
    assert components[0] != components[7]
    usable = np.ones(len(table), bool)
    usable[7] = False
    assert (cluster(table, usable, 14, 0.7) == components[7]).sum() <= 1
