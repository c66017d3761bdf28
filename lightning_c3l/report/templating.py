"""Jinja2 templates of the HTML pages: whatever a template shows is made visible, cut and escaped."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lightning_c3l.functional.finite import finite
from lightning_c3l.report.figures import reading_label
from lightning_c3l.report.text import exact, number, printable
from lightning_c3l.report.token_values import direction

# longest text from outside that is shown, unless the template says otherwise (`text|cut(1000)`)
LIMIT = 300


@dataclass(frozen=True)
class FigureRow:
    """One line of a table.

    Attributes:
        name: what the line shows.
        cells: a number, a text, or None for each column after the first.
        meaning: one sentence below the name.
        digits: decimals of its numbers.
    """

    name: str
    cells: Sequence[object]
    meaning: str = ""
    digits: int = 3


@dataclass(frozen=True)
class FigureTable:
    """A table of a page; the first column is that of the names."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[FigureRow]


def figure_text(value: object, digits: int = 3) -> str:
    """A number for reading or a text of at most 200 characters; a dash for anything else."""
    if finite(value) is None and isinstance(value, str | bool):
        return printable(value, 200)
    return number(value, digits)


def page_environment(*loaders: BaseLoader) -> Environment:
    """Environment with `base.html` and `macros.html` of the pages.

    Args:
        *loaders: where else templates are; they come first.
    """
    found = Environment(
        loader=ChoiceLoader([*loaders, PackageLoader("lightning_c3l.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value, LIMIT),
    )
    found.filters.update(
        exact=exact,
        figure=figure_text,
        cut=lambda value, limit: Markup(escape(printable(value, limit))),
        direction=direction,
    )
    found.tests["finite"] = lambda value: finite(value) is not None
    folder = files("lightning_c3l.report")
    style, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "gallery.js"))
    # the only script that a page may run
    digest = b64encode(sha256(script.encode()).digest()).decode("ascii")
    found.globals |= {"style": Markup(style), "gallery_script": Markup(script), "script_digest": digest}
    found.globals["reading_label"] = reading_label
    return found
