"""The table and the picture of the rates of several engines."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from experiments.speed.timing import Spread
from lightning_c3l.report.drawing import chart, palette

_RATES = {"texts_per_cpu_second": "texts per CPU second", "texts_per_second": "texts per second"}
_COSTS = {"handover_seconds": "hand-over, s", "check_seconds": "check, s", "cpu_seconds": "both, CPU s"}
_ROW, _BAR = 30.0, 0.38


def rates_table(found: Mapping[str, Any]) -> Table:
    """A row for each engine and precision, and one for each cost of the hand-over.

    Args:
        found: figures of `run_bench`.
    """
    out = Table("engine", *_RATES.values())
    for name, rates in _rows(found):
        out.add_row(name, *(_shown(rates[rate]) for rate in _RATES))
    for precision in _precisions(found):
        out.add_section()
        for key, words in _COSTS.items():
            out.add_row(f"{precision}: {words}", _shown(found[precision]["handover"][key]))
    return out


def picture(found: Mapping[str, Any]) -> str:
    """Bars of both rates of each engine, with the extremes of the repeats, as SVG.

    Args:
        found: figures of `run_bench`.
    """
    rows = [*_rows(found)]
    with chart("Texts per CPU second and per second, our engine and a vLLM server", 60 + _ROW * len(rows)) as drawn:
        axes = drawn.axes
        for row, (name, rates) in enumerate(rows):
            for index, (rate, words) in enumerate(_RATES.items()):
                value, at = rates[rate], row + (index - 0.5) * _BAR
                (bar,) = axes.barh(at, value["median"], _BAR, color=palette(index))
                errors = [[value["median"] - value["min"]], [value["max"] - value["median"]]]
                axes.errorbar(value["median"], at, xerr=errors, color="#000000", linewidth=1)
                drawn.mark(bar, f"{name}: {value['median']:.3g} {words}", series=words, value=value["median"])
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set(xlim=(0, None), ylim=(len(rows) - 0.5, -0.5))
        drawn.legend([*_RATES.values()])
        return str(drawn.svg())


def _precisions(found: Mapping[str, Any]) -> list[str]:
    return [name for name in ("float32", "bfloat16") if name in found]


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Spread]]]:
    """Names and rates of all engines."""
    for precision in _precisions(found):
        for engine, rates in found[precision]["rates"].items():
            yield f"{precision}: {engine}", rates


def _shown(value: Spread) -> str:
    return "{median:.3g} ({min:.3g} to {max:.3g})".format(**value)
