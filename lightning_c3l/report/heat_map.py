"""The token values of one answer outside of a page: on matplotlib's axes, and as HTML of a notebook."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.drawing import palette
from lightning_c3l.report.templating import page_environment
from lightning_c3l.report.token_values import ShownToken, TokenValues, direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "log p with the image minus log p without it, nats a token"
# columns of a line, each as wide as a letter; with the default font a figure of this width holds them, in inches
_COLUMNS, _WIDTH, _LINE = 72, 8.0, 0.5
# opacity of the full colour, as on the pages
_FULL = 0.6


@dataclass(frozen=True)
class _Cell:
    """A token of the map, in columns and lines."""

    token: ShownToken
    line: int
    start: int
    width: int

    @property
    def colour(self) -> str:
        """Blue where the image makes the token likelier, orange where it makes it less likely."""
        return palette(0 if self.token.difference > 0 else 1)


def plot_tokens(values: TokenValues, axes: "Axes | None" = None) -> "Axes":
    """Draw the tokens of an answer, coloured by what each owes to the image; the figure below each says the same.

    Blue tokens are likelier with the image than without, orange ones less likely; the colour no longer grows at 4 nats.

    Args:
        values: of the tokens; the first 160 are drawn.
        axes: where to; their scales and ticks are given up. Default: those of a new figure.

    Returns:
        The axes.
    """
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    cells = list(_cells(values.shown()))
    lines = cells[-1].line + 1 if cells else 1
    if axes is None:
        figure = pyplot.figure(figsize=(_WIDTH, _LINE * (lines + 1)), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(TITLE, fontsize="medium", loc="left")
    ends = (_COLUMNS, 0) if direction("".join(values.texts)) == "rtl" else (0, _COLUMNS)
    axes.set(xlim=ends, ylim=(lines, 0))
    axes.set_axis_off()
    for one in cells:
        shade = _FULL * one.token.strength
        corner = (one.start, one.line + 0.06)
        axes.add_patch(Rectangle(corner, one.width - 0.2, 0.88, facecolor=one.colour, alpha=shade, linewidth=0))
        middle = one.start + (one.width - 0.2) / 2
        # a generated text is no formula
        how: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": False}
        axes.text(middle, one.line + 0.36, one.token.text, family="monospace", **how)
        axes.text(middle, one.line + 0.76, one.token.value, fontsize="x-small", **how)
    return axes


def answer_card(scored: ScoredCandidate, tokens: TokenValues | None) -> str:
    """A scored pair as HTML that any page may hold: question, answer, heat map and readings; all texts are escaped."""
    template = page_environment().get_template("answer_card.html")
    colours = [tuple(bytes.fromhex(palette(index)[1:])) for index in (0, 1)]
    return template.render(one=scored, tokens=tokens, title=TITLE, more=colours[0], less=colours[1], full=_FULL)


def _cells(tokens: Sequence[ShownToken]) -> Iterator[_Cell]:
    """Set tokens in lines."""
    line = start = 0
    for token in tokens:
        width = min(_COLUMNS, max(_columns(token.text), len(token.value)) + 1)
        if start + width > _COLUMNS:
            line, start = line + 1, 0
        yield _Cell(token, line, start, width)
        start += width


def _columns(text: str) -> int:
    """Columns that a text takes in a font of fixed width."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else not unicodedata.combining(one) for one in text)
