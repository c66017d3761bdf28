"""The tables of the page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lightning_c3l.report.figures import figure, nested, rounds_of
from lightning_c3l.report.markup import MISSING, element, esc, exact, finite, number

# Shown elsewhere on the page, or no figure of the rounds table.
_ELSEWHERE = frozenset({"round", "kind_shares", "seconds", "rejected"})

_GUARDED = (
    "held_out",
    "inflation",
    "parsed_rate",
    "distinct_rate",
    "kind_entropy",
    "image_contrast",
    "answer_tokens",
)


def table(caption: str, columns: Sequence[object], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A table inside a box that scrolls sideways where the screen is narrow.

    Args:
        caption: plain text.
        columns: plain names, the first one above the row names.
        rows: markup of each row's name with its finished cells (see `cell`).
    """
    head = "".join(element("th", esc(name), scope="col") for name in columns)
    body = "".join(element("tr", element("th", name, scope="row"), *cells) for name, cells in rows)
    inner = element("caption", esc(caption)) + element("thead", element("tr", head)) + element("tbody", body)
    # Only a focusable box can be scrolled with the keyboard.
    return element("div", element("table", inner), class_="scroll", tabindex=0, role="region", aria_label=caption)


def cell(value: object, digits: int = 3) -> str:
    """A table cell: a number with its exact value as an attribute, or an escaped text."""
    if finite(value) is not None:
        return element("td", number(value, digits), data_value=exact(value))
    shown = esc(value, 200) if isinstance(value, str | bool) else MISSING
    return element("td", shown)


def _named(key: str) -> str:
    """Name of a figure with its meaning under it."""
    known = figure(key)
    meaning = element("small", esc(known.meaning)) if known.meaning else ""
    return esc(known.label) + meaning


def _figure_rows(keys: Iterable[str], columns: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    return [(_named(key), [cell(column.get(key), figure(key).digits) for column in columns]) for key in keys]


def _keys(columns: Iterable[Mapping[str, Any]], skip: frozenset[str] = frozenset()) -> list[str]:
    """Names of all plain figures, in order of appearance."""
    found = (key for column in columns for key, value in column.items() if not isinstance(value, Mapping | list))
    return [key for key in dict.fromkeys(found) if key not in skip]


def rounds_html(summary: Mapping[str, Any]) -> str:
    """Figures down, rounds across: few rounds, many figures, and each figure has room for its meaning."""
    rounds = rounds_of(summary)
    rows = _figure_rows(_keys(rounds, _ELSEWHERE), rounds)
    stages = _keys([nested(one, "seconds") for one in rounds])
    for stage in stages:
        cells = [cell(nested(one, "seconds").get(stage), 1) for one in rounds]
        rows.append((esc(f"seconds: {stage}"), cells))
    return table("Figures of each round", ["figure", *(f"round {one['round']}" for one in rounds)], rows)


def writers_html(writers: Mapping[str, Any]) -> str:
    """The starting model beside the tuned one, with the difference."""
    columns = {name: figures for name, figures in writers.items() if isinstance(figures, Mapping)}
    base, tuned = columns.get("base"), columns.get("tuned")
    rows = _figure_rows(_keys(columns.values()), list(columns.values()))
    heads = ["figure", *columns]
    if base is not None and tuned is not None:
        heads.append("tuned \u2212 base")
        for key, (_, cells) in zip(_keys(columns.values()), rows, strict=True):
            cells.append(cell(_difference(tuned.get(key), base.get(key)), figure(key).digits))
    return table("The starting model and the tuned model as writers", heads, rows)


def guard_html(guard: Mapping[str, Any]) -> str:
    """Every state that the guard judged, with what it wrote on the guard's images and the limits that it broke."""
    states = [state for state in guard.get("states") or [] if isinstance(state, Mapping)]
    figures = [{**nested(state, "figures"), **state} for state in states]
    heads = [f"state {state.get('round')}" for state in states]
    listed = "".join(
        element("li", esc(f"state {state.get('round')}: {sentence}", 500))
        for state in states
        for sentence in state.get("tripped") or []
    )
    broken = element("ul", listed) if listed else element("p", esc("No limit was broken."))
    rows = _figure_rows([key for key in _GUARDED if any(key in one for one in figures)], figures)
    return broken + table("What each state wrote on the guard's images", ["figure", *heads], rows)


def _difference(after: object, before: object) -> float | None:
    high, low = finite(after), finite(before)
    return None if high is None or low is None else high - low


def conditions(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """A nested mapping as rows: every mapping that holds plain values, named by the way to it."""
    plain = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    rows = {" / ".join(path) or "all": plain} if plain else {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            rows.update(conditions(value, (*path, str(key))))
    return rows


def conditions_html(caption: str, tree: Mapping[str, Any]) -> str:
    """A nested mapping as a table: a line for each figure, a column for each condition."""
    columns = conditions(tree)
    keys = list(dict.fromkeys(key for plain in columns.values() for key in plain))
    body = [(esc(figure(key).label), [cell(plain.get(key)) for plain in columns.values()]) for key in keys]
    return table(caption, ["figure", *columns], body)


def shares_html(summary: Mapping[str, Any]) -> str:
    """The kind shares of the stacked bars as numbers."""
    rounds = rounds_of(summary)
    kinds = sorted({kind for one in rounds for kind in nested(one, "kind_shares")})
    body = [(esc(kind), [cell(nested(one, "kind_shares").get(kind)) for one in rounds]) for kind in kinds]
    return table("Share of each question kind", ["kind", *(f"round {one['round']}" for one in rounds)], body)
