"""Charts: well-formed whatever the values, and their marks agree with the values."""

import math
import random
from collections.abc import Callable
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from lightning_c3l.report.scale import bin_counts, bin_edges, span, ticks
from lightning_c3l.report.svg import Series, bar_chart, histogram, line_chart, stacked_bars
from tests.report.samples import NAN

SVG = "{http://www.w3.org/2000/svg}"
INF = float("inf")
VALUES: list[list[object]] = [
    [],
    [None],
    [NAN],
    [0.3],
    [0.3, None, NAN, INF],
    [0.0, 0.0],
    [-1e300, 1e300],
    [5e-324],
]


def lines(values: list[object]) -> str:
    return line_chart("t", [Series("a", list(enumerate(values))), Series("b", [])], "round", "y")


def rates(values: list[object]) -> str:
    return line_chart("t", [Series("a", list(enumerate(values)))], "round", "y", (0.0, 1.0))


def columns(values: list[object]) -> str:
    return histogram("t", {"a": values, "b": []}, bin_edges(values), "x")


def bars(values: list[object]) -> str:
    return bar_chart("t", {str(place): value for place, value in enumerate(values)}, (0.5, "chance"), "0")


def stacks(values: list[object]) -> str:
    return stacked_bars("t", {"row": {str(place): value for place, value in enumerate(values)}})


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("chart", [lines, rates, columns, bars, stacks])
def test_charts_are_well_formed(chart: Callable[[list[object]], str], values: list[object]) -> None:
    text = chart(values)
    root = ElementTree.fromstring(text)
    assert root.tag == SVG + "svg"
    assert root.get("role") == "img"
    assert root[0].tag == SVG + "title"
    assert "nan" not in text
    assert "inf" not in text


def test_names_are_escaped() -> None:
    name = '</svg><script>"&\x07'
    for text in (
        line_chart(name, [Series(name, [(0, 1.0)])], name, name),
        histogram(name, {name: [0.5]}, [0.0, 1.0], name),
        bar_chart(name, {name: 0.5}, (0.5, name)),
        stacked_bars(name, {name: {name: 1.0}}),
    ):
        root = ElementTree.fromstring(text)
        assert root[0].text == '</svg><script>"&[U+0007]'
        assert not list(root.iter(SVG + "script"))


def test_lines_carry_their_points_and_break_at_gaps() -> None:
    root = ElementTree.fromstring(lines([0.25, None, 0.5, 0.125]))
    points = [(one.get("data-x"), one.get("data-y")) for one in root.iter(SVG + "g") if one.get("data-y")]
    assert points == [("0", "0.25"), ("2", "0.5"), ("3", "0.125")]
    (series,) = (one for one in root.iter(SVG + "g") if one.get("data-series"))
    path = series[0].get("d", "")
    assert path.count("M") == 2
    assert path.count("L") == 1


def test_heights_are_in_proportion() -> None:
    root = ElementTree.fromstring(rates([0.0, 0.5, 1.0]))
    (series,) = (one for one in root.iter(SVG + "g") if one.get("data-series"))
    numbers = [float(word) for word in series[0].get("d", "").replace("M", "").replace("L", "").split()]
    low, middle, high = numbers[1::2]
    assert low > middle > high
    assert middle == pytest.approx((low + high) / 2, abs=0.01)


def test_histogram_counts_every_value() -> None:
    source = random.Random(0)
    right = [source.gauss(0.4, 0.3) for _ in range(300)]
    wrong: list[object] = [*(source.gauss(0.0, 0.2) for _ in range(120)), NAN, None]
    root = ElementTree.fromstring(histogram("t", {"right": right, "wrong": wrong}, bin_edges(right), "x"))
    counted = {
        series.get("data-series"): sum(int(one.get("data-count", 0)) for one in series)
        for series in root.iter(SVG + "g")
        if series.get("data-series")
    }
    assert counted == {"right": 300, "wrong": 120}


def test_bins_agree_with_a_plain_count() -> None:
    source = random.Random(1)
    values = [source.uniform(-2.0, 3.0) for _ in range(500)]
    edges = bin_edges(values, bins=10)
    expected = [sum(low <= value < high for value in values) for low, high in pairwise(edges)]
    assert bin_counts(values, edges) == expected
    assert bin_counts([0.0, 0.5, 1.0, 7.0, -7.0], [0.0, 0.5, 1.0]) == [2, 3]


def test_bars_carry_their_values_and_lengths() -> None:
    root = ElementTree.fromstring(bar_chart("t", {"half": 0.5, "whole": 1.0, "none": NAN}))
    rows = [one for one in root.iter(SVG + "g") if one.get("data-series")]
    assert [one.get("data-value") for one in rows] == ["0.5", "1.0", None]
    half, whole, none = (float(one.find(SVG + "rect").get("width", "")) for one in rows)  # type: ignore[union-attr]
    assert half * 2 == pytest.approx(whole)
    assert none == 0.0


def test_a_kind_keeps_its_colour() -> None:
    rows = {"round 0": {"a": 0.5, "b": 0.5}, "round 1": {"b": 1.0}}
    root = ElementTree.fromstring(stacked_bars("t", rows))
    blocks = [
        (one.get("data-series"), one.get("data-value"), block.get("fill"))
        for one in root.iter(SVG + "g")
        for block in one.findall(SVG + "rect")
    ]
    assert [block[:2] for block in blocks] == [("a", "0.5"), ("b", "0.5"), ("b", "1.0")]
    assert blocks[1][2] == blocks[2][2] != blocks[0][2]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.37, 0.91), (3.0, 4000.0), (1e-5, 3e-5)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    values = [value for value, _ in ticks(low, high)]
    steps = {f"{after - before:.3e}" for before, after in pairwise(values)}
    assert 3 <= len(values) <= 7
    assert len(steps) == 1
    assert steps.pop()[0:4] in {"1.00", "2.00", "5.00"}
    assert low - 1e-9 <= values[0]
    assert values[-1] <= high + 1e-9


def test_tick_labels_tell_the_value() -> None:
    assert [label for _, label in ticks(-0.2, 0.2, count=4)] == [
        "\u22120.2",
        "\u22120.1",
        "0.0",
        "0.1",
        "0.2",
    ]
    assert [label for _, label in ticks(0.0, 400.0, count=4)] == ["0", "100", "200", "300", "400"]


def test_span_has_room() -> None:
    assert span([]) == (0.0, 1.0)
    assert span([2.0]) == (1.0, 3.0)
    low, high = span([0.0])
    assert low < 0.0 < high
    assert all(math.isfinite(end) for end in span([-1e300, 1e300]))
