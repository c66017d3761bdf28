"""Charts as SVG text: pure functions, one a kind of chart.

Each carries its exact figures in `data-` attributes. A value that is None or not finite is not drawn.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lightning_c3l.report import canvas as draw
from lightning_c3l.report.markup import element, esc, exact, finite, number
from lightning_c3l.report.scale import Scale, bin_counts, rounded_out, span, ticks

# Series differ in stroke and marker (see `canvas.marker`) as well as in colour.
_DASHES = (None, "6 4", "2 3", "8 3 2 3")
_ROW, _NAMES = 34.0, 136.0


@dataclass(frozen=True)
class Series:
    """One line of a chart: its name and its (x, y) points; y may be missing."""

    name: str
    points: Sequence[tuple[float, object]]


def _plot(x: tuple[float, float], y: tuple[float, float], top: float) -> draw.Plot:
    across = Scale(*x, draw.LEFT, draw.WIDTH - draw.RIGHT)
    return draw.Plot(across, Scale(*y, draw.HEIGHT - draw.BOTTOM, top), top)


def line_chart(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Lines over whole numbers such as rounds; a missing value interrupts its line.

    Args:
        title: what the chart shows, for screen readers.
        series: the lines; those without a value are left out.
        x_label: name of the horizontal axis.
        y_label: name of the vertical axis.
        y_range: ends of the vertical axis; by default the values with zero.
    """
    drawn = [one for one in series if any(finite(y) is not None for _, y in one.points)]
    if not drawn:
        return draw.nothing(title)
    legend, top = draw.legend([one.name for one in drawn])
    places = sorted({x for one in drawn for x, _ in one.points})
    low, high = y_range or rounded_out(*span((y for one in drawn for _, y in one.points), include=(0.0,)))
    # Half a step of room keeps the markers off the axis, and a single round in the middle.
    plot = _plot((places[0] - 0.5, places[-1] + 0.5), (low, high), top)
    every = 1 + len(places) // 11
    x_ticks = [(x, f"{x:g}") for x in places[::every]]
    lines = [_line(plot, number_of, one) for number_of, one in enumerate(drawn)]
    return draw.canvas(title, legend, draw.axes(plot, x_ticks, x_label, y_label), *lines)


def _line(plot: draw.Plot, place: int, series: Series) -> str:
    path, pen, markers = [], "M", []
    for x, value in series.points:
        y = finite(value)
        if y is None:
            pen = "M"
            continue
        path.append(f"{pen}{plot.x(x):.2f} {plot.y(y):.2f}")
        pen = "L"
        tip = element("title", esc(f"{series.name}, {x:g}: {number(y)}"))
        shape = element("path", d=draw.marker(place, plot.x(x), plot.y(y)), fill=draw.colour(place))
        markers.append(element("g", tip, shape, data_x=f"{x:g}", data_y=exact(y)))
    stroke = element(
        "path",
        d=" ".join(path),
        fill="none",
        stroke=draw.colour(place),
        stroke_width=2.25,
        stroke_dasharray=_DASHES[place % len(_DASHES)],
    )
    return element("g", stroke, *markers, data_series=series.name)


def histogram(
    title: str,
    groups: Mapping[str, Iterable[object]],
    edges: Sequence[float],
    x_label: str,
    y_label: str = "texts",
) -> str:
    """Overlaid, half-transparent histograms that share their bins."""
    counts = {name: bin_counts(values, edges) for name, values in groups.items()}
    most = max((count for bins in counts.values() for count in bins), default=0)
    if not most:
        return draw.nothing(title)
    names = [f"{name} ({sum(bins):,})" for name, bins in counts.items()]
    legend, top = draw.legend(names)
    plot = _plot((edges[0], edges[-1]), rounded_out(0.0, max(5.0, most)), top)
    bars = [_bins(plot, place, name, counts[name], edges) for place, name in enumerate(counts)]
    x_ticks = ticks(edges[0], edges[-1], count=6)
    return draw.canvas(title, legend, draw.axes(plot, x_ticks, x_label, y_label), *bars)


def _bins(plot: draw.Plot, place: int, name: str, counts: Sequence[int], edges: Sequence[float]) -> str:
    bars = []
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        if count:
            size = {"width": plot.x(high) - plot.x(low), "height": plot.y.start - plot.y(count)}
            tip = element("title", esc(f"{name}: {count}"))
            bar = element("rect", x=plot.x(low), y=plot.y(count), **size)
            bars.append(element("g", tip, bar, data_count=count))
    shade = draw.colour(place)
    return element("g", *bars, data_series=name, fill=shade, fill_opacity=0.5, stroke=shade)


def bar_chart(
    title: str, bars: Mapping[str, object], mark: tuple[float, str] | None = None, rival: str | None = None
) -> str:
    """Horizontal bars on an axis from 0 to 1, with an optional dashed mark such as chance.

    Args:
        title: what the chart shows, for screen readers.
        bars: values by name; a missing one keeps its place and shows a dash.
        mark: position and name of the dashed line.
        rival: name of the bar to set apart by colour.
    """
    if all(finite(value) is None for value in bars.values()):
        return draw.nothing(title)
    bottom = 30 + _ROW * len(bars)
    across = Scale(0.0, 1.0, _NAMES, draw.WIDTH - 60)
    parts = [
        _bar(across, 30 + _ROW * place, name == rival, name, value) for place, (name, value) in enumerate(bars.items())
    ]
    if mark:
        at = across(mark[0])
        style = {"stroke": "currentColor", "stroke_dasharray": "4 3"}
        parts.append(element("line", x1=at, y1=24.0, x2=at, y2=bottom, **style))
        parts.append(draw.label(mark[1], at, 16.0))
    return draw.canvas(title, *parts, height=bottom + 6)


def _bar(across: Scale, y: float, apart: bool, name: str, value: object) -> str:
    length = across(finite(value) or 0.0) - across.start
    return element(
        "g",
        draw.label(name, _NAMES - 10, y + 18, "end"),
        element(
            "rect",
            x=across.start,
            y=y + 4,
            width=length,
            height=_ROW - 12,
            rx=2,
            fill=draw.colour(int(apart)),
        ),
        draw.label(number(value), draw.WIDTH - 4, y + 18, "end", class_="figure"),
        data_series=name,
        data_value=exact(value),
    )


def stacked_bars(title: str, rows: Mapping[str, Mapping[str, object]]) -> str:
    """One horizontal bar a row, split into shares that keep their colour from row to row."""
    names = sorted({name for shares in rows.values() for name in shares})
    totals = [sum(finite(value) or 0.0 for value in shares.values()) for shares in rows.values()]
    if not any(totals):
        return draw.nothing(title)
    legend, top = draw.legend(names)
    across = Scale(0.0, max(1.0, *totals), 0.0, draw.WIDTH - 96 - draw.RIGHT)
    parts = [
        _stack(across, top + _ROW * place, name, [(kind, shares.get(kind)) for kind in names])
        for place, (name, shares) in enumerate(rows.items())
    ]
    return draw.canvas(title, legend, *parts, height=top + _ROW * len(rows) + 8)


def _stack(across: Scale, y: float, row: str, shares: Sequence[tuple[str, object]]) -> str:
    parts, x = [draw.label(row, 86, y + 21, "end")], 96.0
    for place, (name, value) in enumerate(shares):
        share = finite(value)
        if share is None or share <= 0:
            continue
        length, shade = across(share), draw.colour(place)
        tip = element("title", esc(f"{row}, {name}: {number(share)}"))
        # The page's style gives these the background colour as a seam between neighbours.
        block = element("rect", x=x, y=y + 4, width=length, height=_ROW - 10, fill=shade, class_="block")
        text = draw.label(f"{share:.0%}", x + length / 2, y + 21, fill=draw.ink(shade)) if length > 38 else ""
        parts.append(element("g", tip, block, text, data_series=name, data_value=exact(share)))
        x += length
    return element("g", *parts, data_row=row)
