"""Charts as inline SVG: drawn by matplotlib, coloured by the page they stand in."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

from lightning_c3l.report.text import exact, printable

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# points, which are the user units of the SVG
WIDTH, HEIGHT = 460.0, 265.0

# Okabe and Ito's colours, told apart with every common colour vision, with grey for their black. `report.css` may
# give each of them another value in light or dark mode.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#56b4e9", "#e69f00", "#cc79a7", "#f0e442", "#8a8a8a")
PAGE = "#ffffff"
_CSS = {
    "#000000": "currentColor",
    PAGE: f"var(--page, {PAGE})",
    **{colour: f"var(--series-{index}, {colour})" for index, colour in enumerate(PALETTE, 1)},
}
_STYLE = Path(__file__).with_name("charts.mplstyle")


def palette(index: int) -> str:
    """Colour of the series with this index."""
    return PALETTE[index % len(PALETTE)]


def label(text: object, limit: int = 48) -> str:
    """One line of at most `limit` characters, with nothing hidden in it."""
    return printable(" ".join(printable(text).split()), limit)


@dataclass(frozen=True)
class Margins:
    """Space around the axes, in points; charts of one size with the same margins line up below each other."""

    left: float
    bottom: float
    right: float
    top: float

    def inside(self, width: float, height: float) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of the axes as shares of a figure."""
        inner = (width - self.left - self.right) / width, (height - self.bottom - self.top) / height
        return (self.left / width, self.bottom / height, *inner)


class Chart:
    """One chart while it is drawn.

    Attributes:
        title: what it shows, for screen readers.
        figure: the figure; its units are points.
        axes: its only axes.
    """

    def __init__(self, title: str, figure: "Figure") -> None:
        self.title, self.figure = title, figure
        self.axes: Axes = figure.add_subplot()
        self._marks = dict[str, tuple[str, dict[str, str]]]()

    def mark(self, artist: "Artist", tip: str, **data: object) -> None:
        """Give a drawn mark a tool tip and its exact figures.

        Args:
            artist: line or patch.
            tip: shown while the pointer is over it.
            **data: attributes `data-...`; numbers are not rounded, None is left out.
        """
        name = f"mark-{len(self._marks)}"
        values = {key: value if isinstance(value, str) else exact(value) for key, value in data.items()}
        attributes = {f"data-{key}": printable(value, 300) for key, value in values.items() if value is not None}
        artist.set_gid(name)
        self._marks[name] = printable(tip, 300), attributes

    def legend(self, names: Sequence[str], lines: "Sequence[Artist] | None" = None) -> None:
        """Put the keys of the series above the axes, in as many columns as the width allows; the chart grows by them.

        Args:
            names: of the series in the order of their colours.
            lines: what stands before each name; by default a square in its colour.
        """
        from matplotlib.patches import Rectangle

        keys = lines or [Rectangle((0, 0), 1, 1, color=palette(index)) for index in range(len(names))]
        for columns in range(min(len(names), 8), 0, -1):
            legend = self.figure.legend(
                keys,
                list(map(label, names)),
                ncols=columns,
                loc="outside upper left",
                handlelength=1.8 if lines else 0.9,
                handleheight=0.9,
            )
            extent = legend.get_window_extent()
            if columns == 1 or extent.width <= self.figure.bbox.width:
                self.figure.set_figheight(self.figure.get_figheight() + extent.height / self.figure.dpi)
                return
            legend.remove()

    def svg(self) -> Markup:
        """The `svg` element. It has no size of its own, and the same bytes for the same figures."""
        buffer = StringIO()
        self.figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
        root = ElementTree.fromstring(buffer.getvalue())
        # its style sheet would apply to the whole page
        root.remove(next(one for one in root if one.find("*[@type='text/css']") is not None))
        # a list, since tool tips are added, which have a text of their own
        for element in list(root.iter()):
            self._adapt(element)
        root.attrib = {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": root.attrib["viewBox"],
            "role": "img",
            "font-family": "system-ui, sans-serif",
            "fill": "currentColor",
            "stroke-linejoin": "round",
        }
        title = ElementTree.Element("title")
        title.text = printable(self.title, 300)
        root.insert(0, title)
        return Markup(ElementTree.tostring(root, encoding="unicode"))

    def _adapt(self, element: ElementTree.Element) -> None:
        """Leave out namespaces and the identifiers of groups, colour by CSS, and add what `mark` was told."""
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        element.tail = None
        if element.tag != "text":
            element.text = None
        if style := element.get("style"):
            # the fonts of the page; those that matplotlib knows are only measured
            style = re.sub("font-family: [^;]*(; )?", "", style)
            for colour, css in _CSS.items():
                style = style.replace(colour, css)
            element.set("style", style)
        if element.tag == "g":
            tip, attributes = self._marks.get(element.attrib.pop("id", ""), ("", {}))
            element.attrib.update(attributes)
            if tip:
                title = ElementTree.Element("title")
                title.text = tip
                element.insert(0, title)


@contextmanager
def chart(title: str, height: float = HEIGHT, width: float = WIDTH, margins: Margins | None = None) -> Iterator[Chart]:
    """A chart to draw on, in the style of the page; matplotlib's settings are as before afterwards.

    Args:
        title: what it shows, for screen readers.
        height: of the SVG without keys, in points.
        width: of the SVG, in points.
        margins: around the axes; by default as much as their labels need.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # a title is unique on its page, and so are then the identifiers of clip paths
    with matplotlib.rc_context({"svg.hashsalt": printable(title)}, _STYLE), warnings.catch_warnings():
        # the page's fonts may know characters that the one measured here does not
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure((width / 72, height / 72), dpi=72, layout=None if margins else "constrained")
        found = Chart(title, figure)
        if margins:
            found.axes.set_position(margins.inside(width, height))
        yield found
