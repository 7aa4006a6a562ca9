"""Words and n-grams against the regular expression and the definition."""

import re
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trellis import words as module
from trellis.words import blocks, hash_words, ngrams, roll

texts = st.lists(st.text(st.one_of(st.sampled_from("ab ,.A_1é’—\0ß"), st.characters()), max_size=30), max_size=6)


@given(texts)
def test_words_are_those_of_the_regular_expression(texts):
    found = hash_words(texts)
    expected = [[fold(word) for word in re.findall(r"\w+", text)] for text in texts]
    assert [len(found.of(place)) for place in range(len(texts))] == list(map(len, expected))
    named = dict(zip(chain(*expected), found.hashes.tolist(), strict=True))
    assert [named[word] for word in chain(*expected)] == found.hashes.tolist()
    assert len(set(named.values())) == len(named)


def fold(word: str) -> str:
    """Character by character."""
    return "".join(character.casefold() for character in word)


def test_a_hash_depends_on_neither_place_nor_block(monkeypatch):
    text = "alpha beta gamma " * 50
    whole = hash_words([text, text]).hashes.tolist()
    monkeypatch.setattr(module, "BLOCK", 8)
    assert hash_words([text, text]).hashes.tolist() == whole
    assert len(set(whole)) == 3
    assert hash_words(["alpha"]).hashes[0] == whole[0]


def test_a_hundred_thousand_words_have_as_many_hashes():
    many = [f"{number:x}" for number in range(100_000)]
    assert len(set(hash_words([" ".join(many)]).hashes.tolist())) == len(many)


@pytest.mark.parametrize("text", ["", "\0", "x" * 5_000_000, "\ud800 lone", "\U0010ffff", " " * 100_000])
def test_odd_texts_are_texts(text):
    assert len(hash_words(["a b", text, "c"]).of(0)) == 2
    assert len(hash_words([text]).hashes) == len(re.findall(r"\w+", text))


@given(texts, st.integers(1, 4))
def test_ngrams_are_those_of_each_text_alone(texts, n):
    grams = ngrams(hash_words(texts), n)
    assert len(grams.offsets) == len(texts) + 1
    for place, text in enumerate(texts):
        words = hash_words([text]).hashes.tolist()
        expected = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
        found = grams.of(place).tolist()
        assert len(found) == len(expected)
        assert len(set(found)) == len(set(expected))
        assert roll(hash_words([text]).hashes, n).tolist() == found


def test_case_and_punctuation_do_not_matter_and_order_does():
    same = ngrams(hash_words(["One, two THREE.", "one two three", "three two one"]), 3)
    assert same.of(0) == same.of(1) != same.of(2)


@given(st.lists(st.text(max_size=9)), st.integers(1, 20))
def test_blocks_hold_every_text_once_and_no_more_than_they_may(texts, size):
    made = list(blocks(texts, size))
    assert [text for block in made for text in block] == texts
    assert all(len(block) == 1 or sum(map(len, block)) <= size for block in made)
