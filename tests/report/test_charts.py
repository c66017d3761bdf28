"""Charts: well-formed whatever the values, and their marks agree with the values."""

import random
from collections.abc import Callable
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from lightning_c3l.report.charts import bar_chart, bin_edges, histogram
from lightning_c3l.report.drawing import PALETTE
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


def marks(text: str, name: str) -> list[ElementTree.Element]:
    """The drawn marks that carry an attribute."""
    return [one for one in ElementTree.fromstring(text).iter(SVG + "g") if one.get(f"data-{name}") is not None]


def corners(mark: ElementTree.Element) -> list[tuple[float, float]]:
    """Points of the path of a mark."""
    path = mark.find(f"{SVG}path")
    assert path is not None
    numbers = [float(word) for word in path.get("d", "").split() if word not in "MLz"]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def width(mark: ElementTree.Element) -> float:
    """Of a bar."""
    xs = [x for x, _ in corners(mark)]
    return max(xs) - min(xs)


def columns(values: list[object]) -> str:
    return histogram("t", {"a": values, "b": []}, "x")


def bars(values: list[object]) -> str:
    return bar_chart("t", {str(index): value for index, value in enumerate(values)}, (0.5, "chance"), "0")


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("chart", [columns, bars])
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
        histogram(name, {name: [0.5]}, name),
        bar_chart(name, {name: 0.5}, (0.5, name)),
    ):
        root = ElementTree.fromstring(text)
        assert root[0].text == '</svg><script>"&[U+0007]'
        assert not list(root.iter(SVG + "script"))
        assert any(one.text == root[0].text for one in root.iter(SVG + "text"))
        assert "\x07" not in text


@pytest.mark.parametrize("name", ["$x^2$", "_hidden", "a\nb", "\u6f22\u5b57", "\ud800", "%s {0} \\frac", ""])
def test_names_are_shown_as_they_are(name: str, recwarn: pytest.WarningsRecorder) -> None:
    text = bar_chart("t", {name: 0.5, "other": 0.5})
    expected = name.replace("\n", " ").replace("\ud800", "[U+D800]")
    shown = [one.text or "" for one in ElementTree.fromstring(text).iter(SVG + "text")]
    assert "other" in shown
    assert not expected or expected in shown
    assert not recwarn.list


def test_colours_are_those_of_the_page() -> None:
    text = bars([0.25, 0.5]) + columns([0.25])
    for colour in (*PALETTE, "#000000", "#ffffff"):
        assert text.count(colour) == text.count(f", {colour})")
    assert "var(--series-1, " in text
    assert "currentColor" in text
    assert "font-family: " not in text
    assert "<style" not in text


def test_a_chart_depends_on_its_figures_alone() -> None:
    before = columns([0.25, 0.5])
    with matplotlib.rc_context({"font.size": 40, "axes.prop_cycle": matplotlib.cycler(color=["red"])}):
        settings = dict(matplotlib.rcParams)
        assert columns([0.25, 0.5]) == before
        assert dict(matplotlib.rcParams) == settings


def test_identifiers_are_not_shared_by_charts_of_one_page() -> None:
    both = [histogram(title, {"a": [0.0, 1.0]}, "x") for title in ("one", "two")]
    found = [{node.get("id") for node in ElementTree.fromstring(text).iter() if node.get("id")} for text in both]
    assert found[0]
    assert not found[0] & found[1]


@pytest.mark.parametrize("part", [1 << 20, 7])
def test_a_histogram_counts_every_value(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_c3l.report.charts._PART", part)
    source = random.Random(0)
    right = [source.gauss(0.4, 0.3) for _ in range(300)]
    wrong: list[object] = [*(source.gauss(0.0, 0.2) for _ in range(120)), NAN, None]
    # bins of the right ones alone: what lies outside counts at the ends
    text = histogram("t", {"right": right, "wrong": wrong}, "x", edges=bin_edges(right))
    counted = dict.fromkeys(("right", "wrong"), 0)
    for one in marks(text, "count"):
        counted[one.get("data-series", "")] += int(one.get("data-count", ""))
    assert counted == {"right": 300, "wrong": 120}
    shown = {one.text for one in ElementTree.fromstring(text).iter(SVG + "text")}
    assert {"right (300)", "wrong (120)"} <= shown


def test_bins_agree_with_a_plain_count() -> None:
    source = random.Random(1)
    values = [source.uniform(-2.0, 3.0) for _ in range(500)]
    edges = bin_edges(values, bins=10)
    assert (edges[0], edges[-1]) == (min(values), max(values))
    assert np.diff(edges) == pytest.approx((max(values) - min(values)) / 10)
    expected = [sum(low <= value < high for value in values) for low, high in pairwise(edges)]
    expected[-1] += 1  # the largest value
    counts = [int(one.get("data-count", "")) for one in marks(histogram("t", {"a": values}, "x", edges=edges), "count")]
    assert counts == expected


def test_bars_carry_their_values_and_lengths() -> None:
    rows = marks(bar_chart("t", {"half": 0.5, "whole": 1.0, "none": NAN}), "series")
    assert [one.get("data-value") for one in rows] == ["0.5", "1.0", None]
    assert ["".join(one.itertext()) for one in rows] == ["half: 0.500", "whole: 1.000", "none: \u2013"]
    half, whole, none = map(width, rows)
    assert half * 2 == pytest.approx(whole)
    assert none == 0.0


def test_many_long_names_leave_room_for_the_bars(recwarn: pytest.WarningsRecorder) -> None:
    text = bar_chart("t", {f"{index} {'W' * 100}": 1.0 for index in range(40)})
    assert min(map(width, marks(text, "series"))) > 20
    assert not recwarn.list


def test_values_that_are_equal_but_for_rounding_have_bins() -> None:
    edges = bin_edges([0.1, 0.1 + 1e-17, 0.10000000000000002])
    assert len(edges) == 25
    assert edges[0] == pytest.approx(-0.4)
    assert edges[-1] == pytest.approx(0.6)
