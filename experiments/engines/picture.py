"""A picture of the rates of several engines."""

from collections.abc import Mapping
from typing import Any

from lightning_c3l.report.drawing import chart, palette

_RATES = {"texts_per_cpu_second": "texts per CPU second", "texts_per_second": "texts per second"}
_WITH = {"base": "", "adapter": ", adapter"}
_ROW, _BAR = 30.0, 0.38


def picture(found: Mapping[str, Any]) -> str:
    """Bars of both rates of each engine, with the extremes of the repeats, as SVG.

    Args:
        found: figures of `run_bench`.
    """
    precisions = [name for name in ("float32", "bfloat16") if name in found]
    rows = [
        (f"{precision}: {engine}{_WITH[weights]}", rates)
        for precision in precisions
        for weights in _WITH
        for engine, rates in found[precision][weights].items()
    ]
    with chart("Texts per CPU second and per second of our engine and of a vLLM server", 60 + _ROW * len(rows)) as drawn:
        axes = drawn.axes
        for row, (name, rates) in enumerate(rows):
            for index, (rate, words) in enumerate(_RATES.items()):
                value = rates[rate]
                errors = [[value["median"] - value["min"]], [value["max"] - value["median"]]]
                at = row + (index - 0.5) * _BAR
                (bar,) = axes.barh(at, value["median"], _BAR, color=palette(index))
                axes.errorbar(value["median"], at, xerr=errors, color="#000000", linewidth=1)
                drawn.mark(bar, f"{name}: {value['median']:.3g} {words}", series=words, value=value["median"])
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set(xlim=(0, None), ylim=(len(rows) - 0.5, -0.5))
        drawn.legend([*_RATES.values()])
        return str(drawn.svg())
