"""The page and the tables of the terminal that compare runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from lightning_c3l.functional.finite import finite
from lightning_c3l.report.comparison import Cell, ComparedFigure, ComparedRun, RunComparison, shared_criterion
from lightning_c3l.report.figures import nested, rounds_of
from lightning_c3l.report.panels import Axis, Line, Panel, line_panel
from lightning_c3l.report.templating import page_environment
from lightning_c3l.report.text import MISSING, duration, number, printable, signed

# lines of a panel that can be told apart
_MOST_LINES = 8
_SECTIONS = {
    "runs": "Runs",
    "figures": "Figures",
    "curves": "Over the rounds",
    "options": "Options that differ",
    "others": "All other figures",
}
# runs of which all figures are shown in the terminal, and figures of more
_MOST_COLUMNS, _OVERVIEW = 8, 3
# characters of a column of the terminal's table: the names of the figures, and a run
_NAMES, _RUN = 30, 24


def render_comparison(comparison: RunComparison) -> str:
    """The page, as one HTML document without anything from outside; the same bytes for the same runs."""
    contents: dict[str, Any] = {
        "runs": [(run, _facts(run)) for run in comparison.runs],
        "figures": comparison.figures,
        "curves": _curves(comparison.runs),
        "options": comparison.options,
        "others": comparison.others,
    }
    best = comparison.best
    return (
        page_environment()
        .get_template("comparison.html")
        .render(
            comparison=comparison,
            names=[run.name for run in comparison.runs],
            verdict="better" if best.is_certain else "undecided" if best.name else "unmeasured",
            sections={key: title for key, title in _SECTIONS.items() if contents[key]},
            contents=contents,
            change=change_text,
        )
    )


def comparison_tables(comparison: RunComparison, width: int) -> Iterator[Table]:
    """Tables of the figures and of the options that differ, for a terminal of this many characters.

    Runs that find no room beside the first one go into further tables, each of which begins with the first. Of many
    runs, there is one table with the first figures alone, a line a run.
    """
    runs = comparison.runs
    if len(runs) > _MOST_COLUMNS:
        yield _overview(comparison)
        return
    room = max(1, (width - _NAMES - _RUN // 2) // _RUN)
    for start in range(1, len(runs), room):
        shown = [0, *range(start, min(start + room, len(runs)))]
        if comparison.figures:
            yield _table("figure", [runs[i].name for i in shown], _figure_rows(comparison.figures, shown))
    for start in range(0, len(runs), room + 1):
        shown = [*range(start, min(start + room + 1, len(runs)))]
        rows = {option: [values[i] or MISSING for i in shown] for option, values in comparison.options.items()}
        if rows:
            yield _table("option", [runs[i].name for i in shown], rows)


def change_text(figure: ComparedFigure, cell: Cell) -> str:
    """The difference to the first run with its interval; empty where it cannot be had."""
    found = cell.difference
    if found is None:
        return ""
    digits = figure.label.digits
    if not found.change and found.interval in (None, (0.0, 0.0)):
        return "the same"
    if found.interval is None:
        return signed(found.change, digits)
    ends = "{} to {}".format(*(signed(end, digits) for end in found.interval))
    return f"{signed(found.change, digits)} ({ends}{'' if found.is_paired else ', unpaired'})"


def _facts(run: ComparedRun) -> dict[str, str]:
    """What is said of a run besides its sentence; what is not known is left out."""
    told, seconds = nested(run.summary, "run"), run.figures.get("seconds_total")
    facts = {
        "status": run.status,
        "started": told.get("started"),
        "took": None if seconds is None else duration(seconds),
        "model": run.summary.get("model"),
        "seed": run.summary.get("seed"),
    }
    return {name: str(fact) for name, fact in facts.items() if fact is not None}


def _curves(runs: Sequence[ComparedRun]) -> list[Panel]:
    """Curves of the first runs, a line each, on one horizontal axis."""
    shown = runs[:_MOST_LINES]
    states = [_rows(nested(run.summary, "guard").get("states") or []) for run in shown]
    rounds = [rounds_of(run.summary) for run in shown]
    last = max((int(one["round"]) for own in [*states, *rounds] for one in _rows(own)), default=0)
    more = "" if len(runs) <= _MOST_LINES else f" The first {_MOST_LINES} of {len(runs)} runs."
    found = [
        _panel(
            shared_criterion(shown).capitalize(),
            shown,
            states,
            "held_out",
            Axis(last, "state"),
            f"In nats per token.{more}",
        ),
        _panel("Mean S(I²C)", shown, rounds, "i2c_mean", Axis(last), f"In nats per token.{more}"),
        _panel("Truth rate", shown, rounds, "truth_rate", Axis(last), f"Of all texts of the round.{more}"),
    ]
    return [panel for panel in found if panel is not None]


def _panel(
    title: str,
    runs: Sequence[ComparedRun],
    rows: Sequence[Sequence[Mapping[str, Any]]],
    key: str,
    axis: Axis,
    caption: str,
) -> Panel | None:
    lines = [
        Line(run.name, [(one["round"], one.get(key)) for one in _rows(own)], series=index)
        for index, (run, own) in enumerate(zip(runs, rows, strict=True))
    ]
    return line_panel(title, lines, axis, 1.0 if key == "truth_rate" else None, caption=caption)


def _rows(rows: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Those that have a number."""
    return [one for one in rows if isinstance(one, Mapping) and finite(one.get("round")) is not None]


def _figure_rows(figures: Sequence[ComparedFigure], shown: Sequence[int]) -> dict[str, list[str]]:
    rows = dict[str, list[str]]()
    for one in figures:
        cells = [one.cells[index] for index in shown]
        rows[one.label.label] = [
            "\n".join(filter(None, (number(cell.value, one.label.digits), change_text(one, cell)))) for cell in cells
        ]
    return rows


def _overview(comparison: RunComparison) -> Table:
    """The first figures of each run; the page holds the rest."""
    # that of the starting model is the same in most runs
    rest = [one for one in comparison.figures if not one.key.endswith(("_start", "_best"))]
    shown = [one for one in rest if not one.key.startswith("base_")][:_OVERVIEW]
    table = Table("run")
    for one in shown:
        table.add_column(Text(one.label.label), justify="right", overflow="fold")
    for index, run in enumerate(comparison.runs):
        cells = [one.cells[index] for one in shown]
        texts = [
            " ".join(filter(None, (number(cell.value, one.label.digits), change_text(one, cell))))
            for one, cell in zip(shown, cells, strict=True)
        ]
        table.add_row(Text(printable(run.name, 80)), *(Text(text) for text in texts))
    return table


def _table(what: str, names: Sequence[str], rows: Mapping[str, Sequence[str]]) -> Table:
    table = Table()
    table.add_column(what, max_width=_NAMES, overflow="fold")
    for name in names:
        table.add_column(Text(printable(name, 60)), justify="right", overflow="fold")
    for name, cells in rows.items():
        # Text objects, because plain strings would be read as rich markup
        table.add_row(Text(printable(name, 120)), *(Text(printable(cell, 200)) for cell in cells))
    return table
