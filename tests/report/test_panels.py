"""Panels: their axes line up, and their marks agree with the values."""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from lightning_c3l.report.drawing import PALETTE
from lightning_c3l.report.panels import Axis, Bound, Line, Panel, bin_counts, column_panel, histogram_panel, line_panel
from tests.report.samples import NAN
from tests.report.test_charts import SVG, VALUES, corners, marks, width

AXIS = Axis(3)


def lines(values: list[object], **options: Any) -> Panel | None:
    return line_panel("t", [Line("a", list(enumerate(values))), Line("b", [])], AXIS, **options)


def rates(values: list[object]) -> Panel | None:
    return lines(values, top=1.0)


def columns(values: list[object]) -> Panel | None:
    return column_panel("t", {0: {str(index): value for index, value in enumerate(values)}}, AXIS)


def shown(panel: Panel | None) -> str:
    assert panel is not None
    return panel.svg


def ticks(svg: str) -> dict[str, float]:
    """Horizontal place of each label below the axis."""
    texts = ElementTree.fromstring(svg).iter(SVG + "text")
    return {
        one.text or "": float(one.get("x") or one.get("transform", "(0 0").split("(")[1].split(" ")[0]) for one in texts
    }


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("chart", [lines, rates, columns])
def test_panels_are_well_formed_or_left_out(
    chart: Callable[[list[object]], Panel | None], values: list[object]
) -> None:
    panel = chart(values)
    known = [one for one in values if isinstance(one, float) and np.isfinite(one)]
    # a column needs something to divide
    assert (panel is None) == (not known or (chart is columns and max(known) <= 0))
    if panel is not None:
        root = ElementTree.fromstring(panel.svg)
        assert (root.tag, root.get("role"), root[0].tag) == (SVG + "svg", "img", SVG + "title")
        assert "nan" not in panel.svg
        assert "inf" not in panel.svg


def test_names_are_escaped() -> None:
    name = '</svg><script>"&\x07'
    panels = (
        line_panel(name, [Line(name, [(0, 1.0)])], Axis(1, name), notes={0: name}),
        column_panel(name, {0: {name: 1.0}}, Axis(1, name)),
        histogram_panel(name, {name: np.array([1])}, [0.0, 1.0], 1.0, name),
    )
    for panel in panels:
        root = ElementTree.fromstring(shown(panel))
        assert root[0].text == '</svg><script>"&[U+0007]'
        assert not list(root.iter(SVG + "script"))
        assert "\x07" not in shown(panel)


def test_all_panels_of_a_row_line_up() -> None:
    panels = [
        line_panel("one", [Line("", [(0, 0.5)])], AXIS),
        line_panel("two", [Line("", [(0, -12345.678), (3, 1.0)])], AXIS),
        column_panel("three", {1: {"a": 1}}, AXIS),
    ]
    boxes = {ElementTree.fromstring(shown(panel)).get("viewBox") for panel in panels}
    assert len(boxes) == 1
    for number in "123":
        places = [ticks(shown(panel))[number] for panel in panels]
        assert max(places) - min(places) < 0.01
    rounds = [ticks(shown(panels[0]))[number] for number in "123"]
    assert np.diff(rounds) == pytest.approx(np.diff(rounds)[0], abs=0.01)


def test_lines_carry_their_points_and_break_at_gaps() -> None:
    svg = shown(lines([0.25, None, 0.5, 0.125]))
    points = [(one.get("data-x"), one.get("data-y")) for one in marks(svg, "y")]
    assert points == [("0", "0.25"), ("2", "0.5"), ("3", "0.125")]
    path = marks(svg, "series")[0].find(f"{SVG}path")
    assert path is not None
    # the lone first point has a marker, but no line
    assert path.get("d", "").split().count("M") == 2
    assert path.get("d", "").split().count("L") == 1


def test_heights_are_in_proportion() -> None:
    (low, middle, high) = (y for _, y in corners(marks(shown(rates([0.0, 0.5, 1.0])), "series")[0]))
    assert low > middle > high
    assert middle == pytest.approx((low + high) / 2, abs=0.01)


def test_a_limit_lies_at_its_height_and_is_named() -> None:
    panel = lines([0.0, 0.5, 1.0], bounds=[Bound(0.25, "below")])
    assert panel is not None
    (bound,) = marks(panel.svg, "limit")
    assert bound.get("data-limit") == "0.25"
    start, middle, _ = (y for _, y in corners(marks(panel.svg, "series")[0]))
    assert [y for _, y in corners(bound)] == pytest.approx([(start + middle) / 2] * 2, abs=0.01)
    assert [(key.name, key.shape) for key in panel.keys] == [("a", "line"), ("limit of the guard", "bound")]


def test_columns_are_shares_that_keep_their_colour() -> None:
    panel = column_panel("t", {0: {"a": 30, "b": 10}, 1: {"a": None, "b": 5}}, AXIS)
    blocks = marks(shown(panel), "series")
    found = [(one.get("data-x"), one.get("data-series"), one.get("data-value")) for one in blocks]
    assert found == [("0", "a", "0.75"), ("0", "b", "0.25"), ("1", "b", "1.0")]
    heights = [max(ys) - min(ys) for one in blocks if (ys := [y for _, y in corners(one)])]
    assert heights[0] == pytest.approx(3 * heights[1], abs=0.02)
    assert heights[2] == pytest.approx(4 * heights[1], abs=0.02)
    assert len({round(width(one), 2) for one in blocks}) == 1
    styles = [path.get("style") for one in blocks for path in one.findall(f"{SVG}path")]
    assert styles[1] == styles[2] != styles[0]


def test_bins_agree_with_a_plain_count() -> None:
    values = np.array([-5.0, 0.0, 0.1, 0.25, 0.5, 0.9, 1.0, 7.0])
    # bins are closed below; what lies outside counts at the ends
    counts, none = (bin_counts(own, [0.0, 0.25, 0.5, 1.0]) for own in (values, np.array([])))
    assert (counts.tolist(), none.tolist()) == ([3, 1, 4], [0, 0, 0])
    panel = histogram_panel("t", {"a": counts, "none": none}, [0.0, 0.25, 0.5, 1.0], 0.5, "x")
    assert panel is not None
    (area,) = marks(panel.svg, "counts")
    assert area.get("data-counts") == "3 1 4"
    assert [key.name for key in panel.keys] == ["a (8)"]
    assert histogram_panel("t", {"none": none}, [0.0, 0.25, 0.5, 1.0], 1.0, "x") is None


def test_colours_are_those_of_the_page() -> None:
    text = shown(lines([0.5, 1.0, NAN], bounds=[Bound(0.25, "below")])) + shown(columns([0.25] * 4))
    for colour in (*PALETTE, "#000000", "#ffffff"):
        assert text.count(colour) == text.count(f", {colour})")
    assert "var(--series-1, " in text
