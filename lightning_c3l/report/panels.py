"""Small multiples: small charts of one size whose axes line up below and beside each other.

Their keys stand in the page, not in the SVG, so that they take the page's fonts and wrap where the screen is narrow.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lightning_c3l.report.charts import DASHES, MARKERS, drawable
from lightning_c3l.report.drawing import PAGE, Chart, Margins, chart, label, palette
from lightning_c3l.report.text import MINUS, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# points
_WIDTH, _HEIGHT = 320.0, 182.0
_MARGINS = Margins(left=46, bottom=42, right=12, top=10)
# width of a letter, in points
_CHARACTER = 7.0
# room beside the first and the last round, in rounds
_ROOM = 0.35
# rounds whose points are marked; lines of more are drawn without
_MOST_MARKERS = 25


@dataclass(frozen=True)
class Line:
    """A line of a panel.

    Attributes:
        name: in the keys.
        points: (x, y); y may be missing, which interrupts the line.
        intervals: lower and upper end at some of the x.
        series: number of its colour, dash and marker.
        marked: whether its points have markers; lines of many points have none.
    """

    name: str
    points: Sequence[tuple[float, object]]
    intervals: Mapping[float, tuple[float, float]] = field(default_factory=dict)
    series: int = 0
    marked: bool = True


@dataclass(frozen=True)
class Bound:
    """A horizontal line that a figure should not cross; the forbidden side is shaded."""

    y: float
    side: Literal["below", "above"]


@dataclass(frozen=True)
class Key:
    """One entry of the keys: a stroke as of a line, or a square."""

    name: str
    series: int
    shape: Literal["line", "square", "bound"]
    marked: bool = False


@dataclass(frozen=True)
class Panel:
    """A small chart of the page."""

    title: str
    svg: Markup
    keys: Sequence[Key] = ()
    caption: str = ""


@dataclass(frozen=True)
class Axis:
    """The horizontal axis that the panels of a row share.

    Attributes:
        last: of the whole numbers from 0 that are shown.
        name: below the axis.
    """

    last: float
    name: str = "round"


def line_panel(
    title: str,
    lines: Sequence[Line],
    axis: Axis,
    top: float | None = None,
    bounds: Sequence[Bound] = (),
    notes: Mapping[float, str] = {},
    caption: str = "",
) -> Panel | None:
    """Lines over the rounds.

    Args:
        title: what is shown.
        lines: those without a single value are left out.
        axis: shared by the panels beside it.
        top: upper end of the vertical axis, which begins at 0 or the lowest value; None takes what the values need.
        bounds: limits of the first line.
        notes: words above points of the first line, by their x.
        caption: below the chart.

    Returns:
        The panel; None if nothing was measured.
    """
    shown = [line for line in lines if drawable(y for _, y in line.points)]
    if not shown:
        return None
    with _panel(title) as drawn:
        for line in shown:
            _draw_line(drawn, line)
        _draw_heights(drawn.axes, shown, top, bounds)
        for bound in bounds:
            _draw_bound(drawn, bound)
        _draw_axis(drawn.axes, axis)
        _draw_notes(drawn.axes, shown[0], notes)
        svg = drawn.svg()
    keys = (
        [Key(line.name, line.series, "line", line.marked) for line in shown] if len(shown) > 1 or shown[0].name else []
    )
    return Panel(title, svg, [*keys, *([Key("limit of the guard", 0, "bound")] if bounds else [])], caption)


def column_panel(
    title: str, columns: Mapping[float, Mapping[str, object]], axis: Axis, caption: str = ""
) -> Panel | None:
    """One column a round, split into shares of 1 that keep their colour.

    Args:
        title: what is shown.
        columns: counts or shares by name, of each round by its number.
        axis: shared by the panels beside it.
        caption: below the chart.

    Returns:
        The panel; None if nothing was counted.
    """
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    counts = {x: {name: max([0.0, *drawable([column.get(name)])]) for name in names} for x, column in columns.items()}
    wholes = {x: sum(column.values()) for x, column in counts.items()}
    if not any(wholes.values()):
        return None
    with _panel(title) as drawn:
        for x, column in counts.items():
            start = 0.0
            for series, (name, count) in enumerate(column.items()):
                if not count:
                    continue
                share = count / wholes[x]
                (bar,) = drawn.axes.bar(x, share, 0.62, start, color=palette(series), edgecolor=PAGE, linewidth=1)
                drawn.mark(bar, f"{axis.name} {x:g}, {name}: {share:.1%}", series=name, x=f"{x:g}", value=share)
                start += share
        drawn.axes.set_ylim(0.0, 1.0)
        drawn.axes.set_yticks([0.0, 0.5, 1.0], ["0", "50 %", "100 %"])
        _draw_axis(drawn.axes, axis)
        svg = drawn.svg()
    return Panel(title, svg, [Key(name, series, "square") for series, name in enumerate(names)], caption)


def histogram_panel(
    title: str,
    groups: Mapping[str, NDArray[np.int64]],
    edges: Sequence[float],
    highest: float,
    x_label: str,
    compared: str = "",
) -> Panel | None:
    """Overlaid outlines of shares per bin.

    Args:
        title: what is shown.
        groups: values in each bin by name; each group is drawn as shares of its own sum.
        edges: of the bins.
        highest: share at the upper end of the axis, the same for all panels that are compared.
        x_label: name of the horizontal axis.
        compared: what is compared, for screen readers, where several panels of a page have this title.

    Returns:
        The panel; None without a value.
    """
    filled = {name: counts for name, counts in groups.items() if counts.any()}
    if not filled:
        return None
    with _panel(f"{compared}: {title}" if compared else title) as drawn:
        axes = drawn.axes
        for series, (name, counts) in enumerate(filled.items()):
            outline = _outline(edges, counts / counts.sum())
            (area,) = axes.fill(*outline, facecolor=(palette(series), 0.35), edgecolor=palette(series))
            texts = f"{name}: {counts.sum():,} texts"
            drawn.mark(area, texts, series=name, counts=" ".join(map(str, counts.tolist())))
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0.0, highest)
        _number_ticks(axes, percent=True)
        axes.set_xlabel(label(x_label))
        svg = drawn.svg()
    keys = [Key(f"{name} ({counts.sum():,})", series, "square") for series, (name, counts) in enumerate(filled.items())]
    return Panel(title, svg, keys)


def bin_counts(values: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.int64]:
    """Values in each bin, [bins]; values outside count in the outermost bins."""
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].astype(np.int64)


def _panel(title: str) -> AbstractContextManager[Chart]:
    return chart(title, _HEIGHT, _WIDTH, _MARGINS)


def _draw_line(drawn: Chart, line: Line) -> None:
    """The line, its intervals, and its points with their tool tips."""
    axes, color = drawn.axes, palette(line.series)
    xs, ys = [x for x, _ in line.points], [(drawable([y]) or [np.nan])[0] for _, y in line.points]
    (stroke,) = axes.plot(xs, ys, color=color, linestyle=DASHES[line.series % 4], clip_on=False)
    drawn.mark(stroke, line.name, series=line.name)
    for x, (low, high) in line.intervals.items():
        axes.plot([x, x], [low, high], color=color, linewidth=5, alpha=0.3, solid_capstyle="butt")
    if not line.marked or len(xs) > _MOST_MARKERS:
        return
    for x, height, (_, y) in zip(xs, ys, line.points, strict=True):
        if not np.isnan(height):
            (point,) = axes.plot(
                [x], [height], color=color, marker=MARKERS[line.series % 4], markersize=6, clip_on=False
            )
            between = "" if x not in line.intervals else " ({} to {})".format(*map(number, line.intervals[x]))
            drawn.mark(point, f"{line.name or drawn.title}, {x:g}: {number(y)}{between}", x=f"{x:g}", y=y)


def _draw_heights(axes: "Axes", lines: Sequence[Line], top: float | None, bounds: Sequence[Bound]) -> None:
    """The vertical axis: zero and all values, intervals and limits, with some air."""
    ends = [end for line in lines for interval in line.intervals.values() for end in interval]
    values = drawable([0.0, *(y for line in lines for _, y in line.points), *ends, *(bound.y for bound in bounds)])
    low, high = min(values), max(values)
    # a note stands above its point
    axes.set_ylim(low - 0.1 * (high - low) if low < 0 else 0.0, top or high + 0.15 * (high - low) or 1.0)
    _number_ticks(axes)


def _number_ticks(axes: "Axes", percent: bool = False) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    form = "{:.2g} %" if percent else "{:.4g}"
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: form.format(100 * y if percent else y).replace("-", MINUS))
    )


def _draw_bound(drawn: Chart, bound: Bound) -> None:
    """A dashed line with the forbidden side shaded."""
    axes = drawn.axes
    low, high = axes.get_ylim()
    line = axes.axhline(bound.y, color="#000000", linewidth=1.25, linestyle=(0, (4, 3)))
    drawn.mark(line, f"limit {number(bound.y)}", limit=bound.y)
    axes.axhspan(*((low, bound.y) if bound.side == "below" else (bound.y, high)), color=("#000000", 0.08), linewidth=0)


def _draw_notes(axes: "Axes", line: Line, notes: Mapping[float, str]) -> None:
    """Words above points and above the line beside them; at either end of the axis they grow inwards."""
    first, last = axes.get_xlim()
    for x, note in notes.items():
        width = len(note) * _CHARACTER / (_WIDTH - _MARGINS.left - _MARGINS.right) * (last - first)
        side, start = (
            ("left", x) if x < first + 1 else ("right", x - width) if x > last - 1 else ("center", x - width / 2)
        )
        tops = [max(y, line.intervals.get(at, (y, y))[1]) for at, y in _known(line) if start <= at <= start + width]
        if any(at == x for at, _ in _known(line)):
            shift = {"left": -8, "right": 8}.get(side, 0)
            axes.annotate(label(note), (x, max(tops)), (shift, 6), textcoords="offset points", ha=side, va="bottom")


def _known(line: Line) -> list[tuple[float, float]]:
    """The points of a line that have a value."""
    return [(x, height) for x, y in line.points for height in drawable([y])]


def _draw_axis(axes: "Axes", axis: Axis) -> None:
    """Whole numbers from 0, the same in all panels of a row."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(-_ROOM, axis.last + _ROOM)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.set_xlabel(label(axis.name))


def _outline(edges: Sequence[float], shares: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Corners of the area under a histogram."""
    xs = np.repeat(edges, 2).tolist()
    return xs, [0.0, *np.repeat(shares, 2).tolist(), 0.0]
