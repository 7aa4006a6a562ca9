"""Labeller and classifier read the same words."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trellis.classify.window import Window

words = st.text(st.sampled_from("abcdeft ho.,-éß\n\tк漢"), max_size=400)


@pytest.fixture(scope="module")
def window(tokenizer_json):
    return Window(tokenizer_json, 24)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=words)
def test_the_cut_text_gives_the_same_tokens(window, text):
    (cut,) = window.cut([text])
    assert text.startswith(cut)
    assert window.ids([cut]) == window.ids([text])
    assert len(window.ids([text])[0]) <= 24


def test_a_cut_falls_between_words_and_fills_the_window(window):
    text = "theorem algebra " * 50
    (cut,) = window.cut([text])
    assert cut.endswith(("theorem", "algebra"))
    assert 20 <= len(window.ids([text])[0]) <= 24


def test_one_endless_word_is_cut_inside(window):
    text = "q" * 90
    assert window.cut([text])[0]
    assert len(window.ids([text])[0]) <= 24


def test_text_behind_a_desert_of_spaces_is_still_reached(window):
    assert window.ids([" " * 50_000 + "theorem"]) == window.ids(["theorem"])


def test_the_tokenizer_own_truncation_and_padding_are_off(window):
    assert len(window.ids(["the of and to in that it is was on"])[0]) > 8
    assert len(window.ids(["the"])[0]) == 3
