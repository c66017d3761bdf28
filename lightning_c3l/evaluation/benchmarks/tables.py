"""Terminal tables of the figures of an answer file."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lightning_c3l.evaluation.benchmarks.evaluation import Evaluation, ProtocolResult
from lightning_c3l.report.text import MISSING, printable

_DIGITS = 3
# figures that are counts, not shares
_COUNTS = ("n", "groups", "unparsable", "parse_failures", "groups_with_fewer_rows_than_options")


def evaluation_tables(evaluation: Evaluation) -> RenderableType:
    """Show the protocols side by side, their tables by category, and the notes; shares in percent."""
    benchmark = evaluation.benchmark
    columns = [dict(_figures(result, benchmark)) for result in evaluation.protocols.values()]
    title = f"{benchmark}: {evaluation.model or 'model not named'}, in percent"
    overview = _table(title, "figure", evaluation.protocols)
    for name in dict.fromkeys(name for column in columns for name in column):
        overview.add_row(_text(name), *(_text(column.get(name, MISSING)) for column in columns))
    parts: list[RenderableType] = [overview]
    for protocol, result in evaluation.protocols.items():
        for name, figures in result.tables.items():
            heads = dict.fromkeys(head for row in figures.values() for head in row)
            table = _table(f"{benchmark}, {protocol}: by {name}", "", heads)
            for category, row in figures.items():
                table.add_row(_text(category), *(_text(_cell(head, row.get(head), benchmark)) for head in heads))
            parts.append(table)
    lines = [
        f"{role}: {file} (SHA-256 {digest})" for role, own in evaluation.files.items() for file, digest in own.items()
    ]
    lines.append(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in evaluation.counts.items()))
    lines += [f"note: {note}" for note in evaluation.notes]
    lines += [f"note: {name}: {note}" for name, one in evaluation.protocols.items() for note in one.notes]
    return Group(*parts, Text("\n".join(printable(line, 1000) for line in lines)))


def _table(title: str, first: str, columns: Iterable[str]) -> Table:
    """An empty table: a column on the left, and right-aligned ones."""
    table = Table(title=_text(title))
    table.add_column(first)
    for name in columns:
        table.add_column(_text(name), justify="right")
    return table


def _figures(result: ProtocolResult, benchmark: str) -> Iterator[tuple[str, str]]:
    yield f"headline ({result.meaning})" if result.meaning else "headline", _percent(result.headline, benchmark)
    yield "95 % interval", _interval(result.interval, benchmark)
    yield "n", str(result.n)
    yield "parse failures", str(result.parse_failures)
    for name, value in result.figures.items():
        yield name, _cell(name, value, benchmark)
    for role, other in result.others.items():
        yield f"{role}: headline", _percent(other.headline, benchmark)
        yield f"{role}: difference", _percent(other.difference, benchmark)
        yield f"{role}: 95 % interval", _interval(other.interval, benchmark)
        if other.p is not None:
            yield f"{role}: McNemar p", f"{other.p:.3g}"
        yield f"{role}: n", str(other.n)


def _cell(name: str, value: Any, benchmark: str) -> str:
    if isinstance(value, str):
        return value
    if name in _COUNTS:
        return MISSING if value is None else f"{value:.0f}"
    return _percent(value, benchmark)


def _percent(value: float | None, benchmark: str) -> str:
    """In percent; figures of llava_w are in percent already."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value if benchmark == 'llava_w' else 100 * value:.{_DIGITS}f}"


def _interval(ends: tuple[float, float] | None, benchmark: str) -> str:
    return MISSING if ends is None else f"{_percent(ends[0], benchmark)} to {_percent(ends[1], benchmark)}"


def _text(value: object) -> Text:
    """A `Text`, since rich would read a plain string as markup."""
    return Text(printable(value, 200))
