"""The kinds of charts, as SVG text. Each carries its exact figures in `data-` attributes.

A value that is None or not finite is not drawn.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from lightning_c3l.functional.finite import finite
from lightning_c3l.report.drawing import chart, label, palette
from lightning_c3l.report.text import number

# series differ in stroke and marker as well as in colour
DASHES: Sequence[Any] = ("-", (0, (6, 4)), (0, (2, 3)), (0, (8, 3, 2, 3)))
MARKERS = "osD^"
_ROW = 34.0
# values that are counted at once
_PART = 1 << 20
# characters before a bar
_NAME = 28
# beyond this the arithmetic of an axis may overflow; no figure of a run comes near
_LARGEST = 1e12
# share of a value by which equal ones may differ
_ROUNDING = 1e-9


def drawable(values: Iterable[object]) -> list[float]:
    """The values that an axis can show."""
    return [min(_LARGEST, max(-_LARGEST, real)) for real in map(finite, values) if real is not None]


def bin_edges(values: Iterable[object], bins: int = 24) -> list[float]:
    """`bins` + 1 evenly spaced edges over all values."""
    found = np.asarray(drawable(values))
    if len(found) and np.ptp(found) <= _ROUNDING * np.abs(found).max():
        found = found[:1]  # equal but for rounding: there is no room for edges between them
    return [float(edge) for edge in np.histogram_bin_edges(found, bins)]


def _no_values(title: str) -> Markup:
    """What stands in for a chart without a single value."""
    with chart(title, 90) as drawn:
        drawn.axes.set_axis_off()
        drawn.axes.text(0.5, 0.5, "no values", ha="center", va="center_baseline")
        return drawn.svg()


def histogram(
    title: str,
    groups: Mapping[str, Iterable[object]],
    x_label: str,
    y_label: str = "texts",
    edges: Sequence[float] | None = None,
) -> Markup:
    """Overlaid, half-transparent histograms that share their bins.

    Args:
        title: what the chart shows, for screen readers.
        groups: values by name; those of an array must be finite.
        x_label: name of the horizontal axis.
        y_label: what is counted.
        edges: of the bins, see `bin_edges`; by default over all values. Values outside count in the outermost bins.

    Returns:
        The `svg` element.
    """
    values = {name: np.asarray(own if isinstance(own, np.ndarray) else drawable(own)) for name, own in groups.items()}
    if not any(len(own) for own in values.values()):
        return _no_values(title)
    from matplotlib.ticker import MaxNLocator

    edges = edges or bin_edges(end for own in values.values() if len(own) for end in (own.min(), own.max()))
    with chart(title) as drawn:
        axes = drawn.axes
        for index, (name, own) in enumerate(values.items()):
            # part by part, since a copy of all values may be large
            parts = np.array_split(own, 1 + len(own) // _PART)
            counts = np.sum([np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0] for part in parts], axis=0)
            filled = np.flatnonzero(counts)
            style: dict[str, Any] = {"facecolor": (palette(index), 0.5), "edgecolor": palette(index), "align": "edge"}
            bars = axes.bar(np.take(edges, filled), counts[filled], np.diff(edges)[filled], **style)
            for bar, count in zip(bars, counts[filled].tolist(), strict=True):
                drawn.mark(bar, f"{name}: {count}", series=name, count=count)
        axes.set(xlabel=label(x_label), ylabel=label(y_label))
        axes.set_xlim(edges[0], edges[-1])
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
        axes.update_datalim([(edges[0], 0.0), (edges[0], 5.0)], updatex=False)
        axes.autoscale_view(scalex=False)
        names = [f"{label(name)} ({len(own):,})" for name, own in values.items()]
        drawn.legend(names)
        return drawn.svg()


def bar_chart(
    title: str, bars: Mapping[str, object], mark: tuple[float, str] | None = None, baseline: str | None = None
) -> Markup:
    """Horizontal bars on an axis from 0 to 1, with an optional dashed mark such as chance.

    Args:
        title: what the chart shows, for screen readers.
        bars: values by name; a missing one keeps its row and shows a dash.
        mark: position and name of the dashed line.
        baseline: name of the bar to set apart by colour.

    Returns:
        The `svg` element.
    """
    if not drawable(bars.values()):
        return _no_values(title)
    with chart(title, 36 + _ROW * len(bars)) as drawn:
        axes = drawn.axes
        for index, (name, value) in enumerate(bars.items()):
            (bar,) = axes.barh(
                index, min(1.0, max(0.0, finite(value) or 0.0)), 0.65, color=palette(int(name == baseline))
            )
            drawn.mark(bar, f"{name}: {number(value)}", series=name, value=value)
            axes.text(1.02, index, label(number(value), 12), va="center_baseline", transform=axes.get_yaxis_transform())
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.set_xticks([])
        axes.set_yticks(range(len(bars)), [label(name, _NAME) for name in bars])
        axes.set(xlim=(0, 1), ylim=(len(bars) - 0.5, -0.5))
        if mark:
            axes.axvline(mark[0], color="#000000", linewidth=1, linestyle=(0, (4, 3)))
            axes.text(mark[0], -0.5, label(mark[1]), ha="center", va="bottom")
        return drawn.svg()
