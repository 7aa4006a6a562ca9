"""The geometry of the charts, as plain numbers for the SVG templates: no styles here, no data there."""

import math
from dataclasses import dataclass, field

from trellis.report.wording import short

WIDTH = 460
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 42
LINE_HEIGHT = 290
ROW = 42
LONGEST_LINE = 300
CELL, WIDEST_CELL = 18, 44


@dataclass(frozen=True)
class Series:
    """One curve: `points` are (x, y); `index` is its colour and dash, the same for a model in every chart."""

    label: str
    index: int
    points: list[tuple[float, float]]
    marked: bool = False


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, on one row of a forest plot; `text` is how it is written."""

    label: str
    index: int
    value: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Bar:
    """A row of a stacked bar; `parts` are (kind, size)."""

    label: str
    parts: list[tuple[str, float]]
    text: str = ""


@dataclass(frozen=True)
class HeatMap:
    """Counts [rows][columns] with their names; columns None stand for the rows again, by number. Shades run to the highest
    count, `by_row` to each row's own."""

    rows: list[str]
    columns: list[str] | None
    counts: list[list[int]]
    by_row: bool = False


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] to [start, end] in SVG units."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Chart:
    """What a template draws; positions in SVG units, `width` x `height` the viewBox."""

    title: str
    height: float
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    x_label: str = ""
    y_label: str = ""
    marks: list[dict] = field(default_factory=list)
    zero: float | None = None
    width: float = WIDTH


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers within [low, high], about as many as asked."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * size for size in (1, 2, 2.5, 5, 10) if power * size >= raw * 0.999)
    return [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def line_chart(title: str, x_label: str, y_label: str, curves: list[Series]) -> Chart:
    """Curves over a shared pair of linear axes; long curves are thinned, their last point kept."""
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    y_low, y_high = _padded(min(ys), max(ys))
    x_scale = Scale(min(0.0, *xs), max(xs) if max(xs) > 0 else 1.0, LEFT, WIDTH - RIGHT)
    y_scale = Scale(y_low, y_high, LINE_HEIGHT - BOTTOM, TOP)
    marks = []
    for curve in curves:
        step = math.ceil(len(curve.points) / LONGEST_LINE)
        kept = curve.points[::-1][::step][::-1]
        places = [(x_scale(x), y_scale(y)) for x, y in kept]
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
        marks.append({"index": curve.index, "path": path, "dots": places if curve.marked else []})
    return Chart(
        title=title,
        height=LINE_HEIGHT,
        x_ticks=[(x_scale(value), short(value)) for value in ticks(x_scale.low, x_scale.high, 5)],
        y_ticks=[(y_scale(value), f"{value:g}") for value in ticks(y_low, y_high, 5)],
        x_label=x_label,
        y_label=y_label,
        marks=marks,
    )


def forest(title: str, x_label: str, rows: list[Estimate], domain: tuple[float, float], signed: bool = False) -> Chart:
    """Estimates with intervals over a shared axis in percent (of 1); `signed` draws the line of no difference."""
    scale = Scale(*domain, 8, WIDTH - 8)
    marks = []
    for number, row in enumerate(rows):
        at = {"value": scale(row.value), "low": scale(row.low), "high": scale(row.high), "y": number * ROW + 30}
        marks.append({"index": row.index, "label": row.label, "text": row.text, **at})
    labels = [(scale(value), _percent_tick(value, signed)) for value in ticks(*domain, 5)]
    return Chart(
        title=title,
        height=len(rows) * ROW + BOTTOM + 6,
        x_ticks=labels,
        x_label=x_label,
        marks=marks,
        zero=scale(0.0) if signed else None,
    )


def stacked_bars(title: str, bars: list[Bar]) -> Chart:
    """Each bar's parts as shares of its own total: a label above, the parts from left to right."""
    marks = []
    for number, bar in enumerate(bars):
        total = sum(size for _, size in bar.parts)
        scale, before, parts = Scale(0.0, total or 1.0, 0, WIDTH), 0.0, []
        for kind, size in bar.parts:
            if size:
                parts.append(
                    {"kind": kind, "x": scale(before), "width": round(scale(before + size) - scale(before), 1)}
                )
            before += size
        marks.append({"label": bar.label, "text": bar.text, "y": number * 36 + 14, "parts": parts})
    return Chart(title=title, height=len(bars) * 36 + 2, marks=marks)


def heat_map(title: str, cells: HeatMap) -> Chart:
    """A rectangle per count, the darker the more, as wide as the rows' names leave room for."""
    numbers = [str(number) for number in range(1, len(cells.rows) + 1)]
    labels = cells.rows if cells.columns else [" ".join(pair) for pair in zip(numbers, cells.rows, strict=True)]
    columns = cells.columns or numbers
    left = 16 + 6.7 * max(map(len, labels))
    step = round(min((WIDTH - left) / len(columns), WIDEST_CELL), 1)
    highest = max(count for row in cells.counts for count in row)
    marks = []
    for number, (label, row) in enumerate(zip(labels, cells.counts, strict=True)):
        most = max(row) if cells.by_row else highest
        rectangles = [
            {
                "x": round(left + place * step, 1),
                "width": step,
                # The square root keeps rare cells visible, the factor what is written on them.
                "shade": round(0.75 * math.sqrt(count / most), 2) if most else 0,
                "text": short(count) if step >= 22 and count else "",
            }
            for place, count in enumerate(row)
        ]
        marks.append({"label": label, "x": round(left - 8, 1), "y": number * CELL + 18, "cells": rectangles})
    every = 1 if step >= 16 else 2
    ticks_at = [(round(left + (place + 0.5) * step, 1), columns[place]) for place in range(0, len(columns), every)]
    return Chart(title=title, height=len(cells.rows) * CELL + 20, x_ticks=ticks_at, marks=marks)


def around_zero(low: float, high: float) -> tuple[float, float]:
    """A domain for differences: the interval with air around it, zero inside, never narrower than two points."""
    edge = max(0.01, 1.25 * max(abs(low), abs(high)))
    return -edge, edge


def _padded(low: float, high: float) -> tuple[float, float]:
    air = 0.04 * (high - low) or 0.5
    return low - air, high + air


def _percent_tick(value: float, signed: bool) -> str:
    written = f"{100 * value:+.4g}" if signed and abs(value) > 1e-12 else f"{abs(100 * value):.4g}"
    return written.replace("-", "\N{MINUS SIGN}") + ("" if signed else "%")
