"""Numbers and their places: axes, thinning, smoothing, and the spelling of values."""

import itertools
import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trellis.report import wording
from trellis.report.charts import LONGEST_LINE, Bar, HeatMap, Series, heat_map, line_chart, stacked_bars, ticks
from trellis.report.curves import smoothed


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_even_and_inside(low, width):
    if low + width - low < 1e-7 * abs(low) or low + width == low:
        return
    found = ticks(low, low + width, 5)
    air = 1e-6 * max(abs(low), width)
    assert 1 <= len(found) <= 7 and low - air <= found[0] and found[-1] <= low + width + air
    steps = [second - first for first, second in itertools.pairwise(found)]
    assert all(math.isclose(step, steps[0], rel_tol=1e-3) for step in steps)


def test_long_curves_are_thinned_and_keep_their_end():
    points = [(float(step), 10.0 - step / 10_000) for step in range(1, 10_001)]
    (mark,) = line_chart("loss", "step", "loss", [Series("m", 0, points)]).marks
    places = mark["path"].removeprefix("M").split("L")
    assert LONGEST_LINE / 2 < len(places) <= LONGEST_LINE
    assert places[-1].split()[0] == "450"


def test_one_point_and_a_flat_line_can_be_drawn():
    chart = line_chart("loss", "step", "loss", [Series("m", 0, [(0.0, 2.0)]), Series("n", 1, [(0.0, 2.0)])])
    assert all("nan" not in mark["path"] for mark in chart.marks)


def test_bars_fill_their_width_and_nothing_draws_nothing():
    full, empty = stacked_bars("t", [Bar("a", [("x", 1), ("y", 0), ("z", 2)]), Bar("b", [("x", 0)])]).marks
    assert [part["kind"] for part in full["parts"]] == ["x", "z"]
    assert full["parts"][0]["width"] + full["parts"][1]["width"] == pytest.approx(460, abs=0.2)
    assert empty["parts"] == []


@pytest.mark.parametrize("size", [1, 5, 17, 40])
def test_a_heat_map_stays_inside_its_frame_whatever_its_names(size):
    names = ["personal_finance_practical_life"] * size
    chart = heat_map("t", HeatMap(names, None, [[row * column for column in range(size)] for row in range(size)]))
    cells = [cell for mark in chart.marks for cell in mark["cells"]]
    assert len(cells) == size * size
    assert all(cell["x"] > 0 and cell["x"] + cell["width"] < chart.width + 3 for cell in cells)
    assert max(mark["y"] for mark in chart.marks) + 18 <= chart.height
    assert max(cell["shade"] for cell in cells) == (0.75 if size > 1 else 0)


def test_smoothing_starts_at_the_first_value_and_follows():
    assert smoothed([(1, 5.0), (2, 5.0), (3, 5.0)]) == [(x, pytest.approx(5.0)) for x in (1, 2, 3)]
    late = smoothed([(step, 0.0 if step < 50 else 1.0) for step in range(200)])
    assert late[49][1] == 0.0 and 0 < late[50][1] < 0.2
    assert late[-1][1] == pytest.approx(1.0, abs=1e-5)


@given(st.text())
def test_nothing_hidden_remains(text):
    shown = wording.visible(text)
    hidden = [c for c in shown if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")]
    assert hidden == []
    shown.encode()


def test_plain_text_stays_as_it_is():
    for text in ("Zürich, 東京, naïve — “x”", "a\tb\nc", "שלום", "1 < 2 && 3 > 2"):
        assert wording.visible(text) == text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (wording.percent(0.12345), "12.3%"),
        (wording.percent(None), "–"),
        (wording.points(0.083), "+8.3"),
        (wording.points(-0.083), "−8.3"),
        (wording.points(-0.0001), "0.0"),
        (wording.count(1234567), "1,234,567"),
        (wording.short(2_172_672), "2.17M"),
        (wording.short(20_000_000_000), "20B"),
        (wording.short(6.0585e19), "6.06e19"),
        (wording.short(0), "0"),
        (wording.duration(3.21), "3.2 s"),
        (wording.duration(59.96), "1 min 00 s"),
        (wording.duration(245), "4 min 05 s"),
        (wording.duration(7384), "2 h 03 min"),
        (wording.duration(524_000), "6 d 01 h"),
        (wording.plural(1, "seed"), "1 seed"),
        (wording.plural(2000, "item"), "2,000 items"),
        (wording.listed(["a"]), "a"),
        (wording.listed(["a", "b", "c"]), "a, b and c"),
        (wording.shortened("abcdef", 4), "abcd … (2 more characters)"),
    ],
)
def test_spelling(written, expected):
    assert written == expected
