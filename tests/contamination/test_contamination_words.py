"""Planted evaluation texts are found by their words, and nothing else is."""

import random
import time

import pytest

from trellis.contamination import Reference, seeds
from trellis.contamination.reference import FEWEST_WORDS
from trellis.experiment.decontamination import Decontamination
from trellis.records import write_records
from trellis.words import hash_words

RNG = random.Random(7)
LONG = " ".join(f"word{RNG.randrange(10_000)}" for _ in range(40))
SCHEMA = '{"properties":{"city":{"type":"string"},"unit":{"enum":["c","f"]}},"required":["city"],"type":"object"}'


def reference(*texts, n=13, coverage=0.5, sensitivity=(8, 10, 13)):
    rules = Decontamination(ngram=n, coverage=coverage, sensitivity=list(sensitivity))
    return Reference([{"id": f"r{i}", "suite": "s", "text": text} for i, text in enumerate(texts)], rules)


def hits(found, *texts):
    return [int(hit.id[1:]) if hit else None for hit in found.hits(list(texts))]


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


def test_a_shorter_ngram_finds_what_a_longer_one_does_and_more():
    words = LONG.split()
    # Every eleventh word is another: runs of ten words.
    broken = " ".join(word if place % 11 else "other" for place, word in enumerate(words))
    found = reference(LONG)
    texts = [LONG, broken, " ".join(words[1:10] + words[20:30]), "clean"]
    matches = found.matches(texts, hash_words(texts))
    by_size = {n: [hit is not None for hit in found.best(matches, len(texts), n)] for n in (8, 10, 13)}
    assert by_size == {
        8: [True, True, False, False],
        10: [True, True, False, False],
        13: [True, False, False, False],
    }
    assert found.best(matches, len(texts), 10)[1].share == 0.75


def test_a_prompt_that_all_texts_share_leads_to_none_of_them():
    prompt = " ".join(f"prompt{number}" for number in range(20))
    items = [f"{prompt} {' '.join(f'item{number}word{place}' for place in range(15))}" for number in range(100)]
    found = reference(*items)
    assert hits(found, f"{prompt} and nothing else", items[42]) == [None, 42]
    assert len(found.seeds[0].candidates(hash_words([prompt]))) == 0


def test_a_text_that_stands_in_the_reference_many_times_is_found():
    assert hits(reference(*[LONG] * (seeds.COMMON + 5)), LONG) == [0]


def test_a_hit_says_what_and_how_much(tmp_path):
    write_records(tmp_path / "reference.jsonl", [{"id": "q", "suite": "quiz", "text": LONG}])
    found = Reference.load(tmp_path / "reference.jsonl", Decontamination())
    (hit,) = found.hits([" ".join(LONG.split()[:30])])
    assert (hit.id, hit.suite, hit.how, hit.share) == ("q", "quiz", "words", 0.75)


def test_thousands_of_texts_cost_a_clean_document_little():
    texts = [" ".join(f"r{RNG.randrange(10**6)}" for _ in range(60)) for _ in range(2000)]
    found = reference(*texts)
    clean = [" ".join(f"c{RNG.randrange(10**6)}" for _ in range(700)) for _ in range(200)]
    words = hash_words(clean)
    begin = time.process_time()
    assert found.matches(clean, words) == []
    assert time.process_time() - begin < 0.5
