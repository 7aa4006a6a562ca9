"""Planted evaluation texts are found, and nothing else is."""

import random

import pytest

from trellis.filter.contamination import FEWEST_WORDS, Reference
from trellis.filter.ngrams import hash_words

RNG = random.Random(7)
LONG = " ".join(f"word{RNG.randrange(10_000)}" for _ in range(40))
SCHEMA = '{"properties":{"city":{"type":"string"},"unit":{"enum":["c","f"]}},"required":["city"],"type":"object"}'


def reference(*texts, n=13, coverage=0.5):
    return Reference([{"id": f"r{i}", "suite": "s", "text": text} for i, text in enumerate(texts)], n, coverage)


def hits(found, *texts):
    return found.hits(hash_words(list(texts)))


def test_a_verbatim_text_is_found_wherever_it_stands():
    found = reference("not this one " * 9, LONG)
    assert hits(found, f"Before. {LONG} After.", LONG.upper(), LONG.replace(" ", ",\n"), "clean text") == [
        1,
        1,
        1,
        None,
    ]


def test_coverage_decides():
    words = LONG.split()
    documents = [" ".join(words[:kept]) for kept in (12, 19, 20, 40)]
    assert hits(reference(LONG), *documents) == [None, None, 0, 0]
    assert hits(reference(LONG, coverage=0.9), *documents) == [None, None, None, 0]


def test_a_reworded_header_does_not_hide_the_rest():
    assert hits(reference(LONG), "An entirely different opening: " + " ".join(LONG.split()[10:])) == [0]


def test_pieces_add_up_and_repetition_does_not():
    words = LONG.split()
    pieces = " ".join(words[:14]) + " something else " + " ".join(words[20:34])
    assert hits(reference(LONG), pieces, " and ".join([" ".join(words[:14])] * 5)) == [0, None]


def test_a_short_text_must_stand_there_whole():
    short = "what is the capital of France"
    assert hits(reference(short), f"He asked: {short}?", "what is the capital of Spain", short) == [0, None, 0]


def test_ngrams_do_not_reach_across_documents():
    words = LONG.split()
    assert hits(reference(LONG), " ".join(words[:12]), " ".join(words[12:24])) == [None, None]


def test_a_schema_is_found_in_any_layout_and_not_under_other_names():
    pretty = SCHEMA.replace("{", "{\n  ").replace(",", ",\n  ")
    renamed = SCHEMA.replace("city", "town")
    assert hits(reference(SCHEMA), f"```json\n{pretty}\n```", renamed) == [0, None]


def test_texts_too_short_to_judge_are_counted():
    found = reference("yes", "one two three four", "one two three four five")
    assert FEWEST_WORDS == 5
    assert found.unchecked == 2
    assert hits(found, "yes one two three four", "one two three four five") == [None, 2]


def test_the_text_that_is_covered_most_is_named():
    half, whole = " ".join(LONG.split()[:30] + [f"x{i}" for i in range(30)]), LONG
    assert hits(reference(half, whole), LONG) == [1]
    assert hits(reference(LONG, LONG), LONG) == [0]


@pytest.mark.parametrize("texts", [[], ["", "..."]])
def test_nothing_to_compare_with(texts):
    assert hits(reference(*texts), LONG, "") == [None, None]
