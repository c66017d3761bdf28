"""What all charts share: size, colours, legend, axes."""

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_c3l.report.markup import element, esc
from lightning_c3l.report.scale import Scale, ticks

WIDTH, HEIGHT = 460.0, 290.0
LEFT, RIGHT, BOTTOM = 56.0, 14.0, 46.0
LINE = 20.0

# Okabe and Ito's colours, told apart with every common colour vision; their black is left out because it
# would vanish in dark mode, grey stands in for it.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#56B4E9", "#E69F00", "#CC79A7", "#F0E442", "#8A8A8A")


@dataclass(frozen=True)
class Plot:
    """A chart's drawing area and its two axes."""

    x: Scale
    y: Scale
    top: float


def colour(place: int) -> str:
    """Colour of the series with this number."""
    return PALETTE[place % len(PALETTE)]


def ink(background: str) -> str:
    """Text colour that reads well on a colour of the palette."""
    return "#ffffff" if background == PALETTE[0] else "#111111"


def label(text: object, x: float, y: float, anchor: str = "middle", **attributes: object) -> str:
    """A text in the colour of the page's text."""
    fill = attributes.pop("fill", "currentColor")
    return element("text", esc(text, 60), x=x, y=y, text_anchor=anchor, fill=fill, **attributes)


def legend(names: Sequence[str]) -> tuple[str, float]:
    """Colour keys above the plot, wrapped into lines, and the height they take."""
    parts, x, y = [], LEFT, 16.0
    for place, name in enumerate(names):
        # No font is measured here: 7.2 pixels a letter is a little more than a sans-serif of 13 pixels needs.
        width = 18 + 7.2 * min(len(name), 60) + 14
        if x > LEFT and x + width > WIDTH:
            x, y = LEFT, y + LINE
        parts.append(element("rect", x=x, y=y - 10, width=12, height=12, rx=2, fill=colour(place)))
        parts.append(label(name, x + 18, y, "start"))
        x += width
    return "".join(parts), y + 14 if names else 12.0


def axes(plot: Plot, x_ticks: Sequence[tuple[float, str]], x_label: str, y_label: str) -> str:
    """Grid lines with values, the base line and the names of both axes."""
    base, middle = plot.y.start, (plot.y.start + plot.y.stop) / 2
    parts = []
    for value, text in ticks(plot.y.low, plot.y.high):
        height = plot.y(value)
        parts.append(_rule(plot.x.start, height, plot.x.stop, height, 0.15))
        parts.append(label(text, LEFT - 8, height + 4, "end"))
    for value, text in x_ticks:
        parts.append(_rule(plot.x(value), base, plot.x(value), base + 4, 0.6))
        parts.append(label(text, plot.x(value), base + 18))
    parts.append(_rule(plot.x.start, base, plot.x.stop, base, 0.6))
    parts.append(label(x_label, (plot.x.start + plot.x.stop) / 2, base + 37))
    parts.append(label(y_label, 0.0, 0.0, transform=f"translate(13 {middle:.1f}) rotate(-90)"))
    return "".join(parts)


def _rule(x1: float, y1: float, x2: float, y2: float, opacity: float) -> str:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke="currentColor", stroke_opacity=opacity)


def marker(place: int, x: float, y: float) -> str:
    """Path of the marker of the series with this number, around a point."""
    kind = ("circle", "square", "diamond", "triangle")[place % 4]
    if kind == "circle":
        return f"M{x - 4.5:.2f} {y:.2f}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z"
    if kind == "square":
        return f"M{x - 4:.2f} {y - 4:.2f}h8v8h-8z"
    if kind == "diamond":
        return f"M{x:.2f} {y - 5.5:.2f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"
    return f"M{x:.2f} {y - 5.5:.2f}l5 9h-10z"


def canvas(title: str, *parts: str, height: float = HEIGHT) -> str:
    """The `svg` element; the title is what a screen reader says."""
    return element(
        "svg",
        element("title", esc(title)),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        font_size=13,
        font_family="system-ui, sans-serif",
    )


def nothing(title: str) -> str:
    """What stands in for a chart without a single value."""
    return canvas(title, label("no values", WIDTH / 2, 50), height=90.0)
