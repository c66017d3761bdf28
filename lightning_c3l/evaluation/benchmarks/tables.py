"""Figures of an answer file as tables for the terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lightning_c3l.evaluation.benchmarks.evaluation import Compared, Evaluation, Protocolled
from lightning_c3l.report.text import MISSING, printable

_DIGITS = 3
# figures that are counts or words, not shares
_COUNTS = ("n", "groups", "unparsable", "parse_failures", "groups_with_fewer_rows_than_options")


def evaluation_tables(evaluation: Evaluation) -> RenderableType:
    """Protocols side by side, their tables by category, and the notes. Shares are shown in percent."""
    parts: list[RenderableType] = [_overview(evaluation)]
    for protocol, found in evaluation.protocols.items():
        for name, table in found.tables.items():
            parts.append(_by_category(f"{evaluation.benchmark}, {protocol}: by {name}", table, evaluation.benchmark))
    parts.append(Text("\n".join(printable(line, 1000) for line in _lines(evaluation))))
    return Group(*parts)


def _overview(evaluation: Evaluation) -> Table:
    """A line for each figure, a column for each protocol."""
    table = Table(title=_text(f"{evaluation.benchmark}: {evaluation.model or 'model not named'}, in percent"))
    table.add_column("figure")
    for protocol in evaluation.protocols:
        table.add_column(_text(protocol), justify="right")
    columns = [dict(_figures(found, evaluation.benchmark)) for found in evaluation.protocols.values()]
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(_text(name), *(_text(column.get(name, MISSING)) for column in columns))
    return table


def _figures(found: Protocolled, benchmark: str) -> Iterator[tuple[str, str]]:
    yield f"headline ({found.meaning})" if found.meaning else "headline", _share(found.headline, benchmark)
    yield "95 % interval", _interval(found.interval, benchmark)
    yield "n", str(found.n)
    yield "parse failures", str(found.parse_failures)
    for name, value in found.figures.items():
        yield name, _cell(name, value, benchmark)
    for role, other in found.others.items():
        yield from _beside(role, other, benchmark)


def _beside(role: str, other: Compared, benchmark: str) -> Iterator[tuple[str, str]]:
    yield f"{role}: headline", _share(other.headline, benchmark)
    yield f"{role}: difference", _share(other.difference, benchmark)
    yield f"{role}: 95 % interval", _interval(other.interval, benchmark)
    if other.p is not None:
        yield f"{role}: McNemar p", f"{other.p:.3g}"
    yield f"{role}: n", str(other.n)


def _by_category(title: str, figures: Mapping[str, Mapping[str, Any]], benchmark: str) -> Table:
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    table = Table(title=_text(title))
    table.add_column("")
    for name in names:
        table.add_column(_text(name), justify="right")
    for category, row in figures.items():
        table.add_row(_text(category), *(_text(_cell(name, row.get(name), benchmark)) for name in names))
    return table


def _lines(evaluation: Evaluation) -> Sequence[str]:
    """Files, counts and notes."""
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
    return _share(value, benchmark)


def _share(value: float | None, benchmark: str) -> str:
    """In percent; of llava_w the figures are in percent already."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value if benchmark == 'llava_w' else 100 * value:.{_DIGITS}f}"


def _interval(ends: tuple[float, float] | None, benchmark: str) -> str:
    return MISSING if ends is None else f"{_share(ends[0], benchmark)} to {_share(ends[1], benchmark)}"


def _text(value: object) -> Text:
    """A Text object, because plain strings would be read as rich markup."""
    return Text(printable(value, 200))
