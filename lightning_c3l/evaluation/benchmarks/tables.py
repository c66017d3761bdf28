"""Terminal tables of the figures of an answer file."""

import math
from collections.abc import Iterator, Mapping, Sequence
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
    parts: list[RenderableType] = [_overview(evaluation)]
    for protocol, result in evaluation.protocols.items():
        for name, table in result.tables.items():
            parts.append(_category_table(f"{evaluation.benchmark}, {protocol}: by {name}", table, evaluation.benchmark))
    parts.append(Text("\n".join(printable(line, 1000) for line in _lines(evaluation))))
    return Group(*parts)


def _overview(evaluation: Evaluation) -> Table:
    """A row for each figure, a column for each protocol."""
    table = Table(title=_text(f"{evaluation.benchmark}: {evaluation.model or 'model not named'}, in percent"))
    table.add_column("figure")
    for protocol in evaluation.protocols:
        table.add_column(_text(protocol), justify="right")
    columns = [dict(_figures(result, evaluation.benchmark)) for result in evaluation.protocols.values()]
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(_text(name), *(_text(column.get(name, MISSING)) for column in columns))
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


def _category_table(title: str, figures: Mapping[str, Mapping[str, Any]], benchmark: str) -> Table:
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    table = Table(title=_text(title))
    table.add_column("")
    for name in names:
        table.add_column(_text(name), justify="right")
    for category, row in figures.items():
        table.add_row(_text(category), *(_text(_cell(name, row.get(name), benchmark)) for name in names))
    return table


def _lines(evaluation: Evaluation) -> Sequence[str]:
    lines = [
        f"{role}: {file} (SHA-256 {digest})" for role, own in evaluation.files.items() for file, digest in own.items()
    ]
    lines.append(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in evaluation.counts.items()))
    lines += [f"note: {note}" for note in evaluation.notes]
    return lines + [f"note: {name}: {note}" for name, one in evaluation.protocols.items() for note in one.notes]


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
