"""The experiment as one self-contained page: a chart for each figure, and the tables."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from experiments.two_by_two.results import TITLES, shown
from lightning_c3l.report import canvas as draw
from lightning_c3l.report.markup import element, esc, exact
from lightning_c3l.report.scale import Scale, rounded_out, span, ticks
from lightning_c3l.report.tables import cell, table

_ROW, _NAMES, _TOP, _BOTTOM = 30.0, 128.0, 14.0, 46.0
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_ABOUT = (
    "The starting model of the embedded world is tuned once on each set, with the same recipe, and measured on four "
    "benchmarks of that world. All sets of a seed have the same size and the same distribution of question kinds and "
    "answer lengths, and are about the same pictures. Intervals are 95 % bootstraps over seeds and pictures, which are "
    "drawn together for all models; small marks are the seeds."
)


def render(results: Mapping[str, Any]) -> str:
    """The whole page."""
    style = files("lightning_c3l.report").joinpath("report.css").read_text(encoding="utf-8")
    head = (
        element("meta", charset="utf-8")
        + element("meta", http_equiv="Content-Security-Policy", content=_POLICY)
        + element("meta", name="viewport", content="width=device-width, initial-scale=1")
        + element("meta", name="color-scheme", content="light dark")
        + element("title", esc("two by two"))
        + element("style", style)
    )
    seeds = ", ".join(map(str, results["seeds"]))
    header = element("h1", "Two by two") + element("p", esc(f"{_ABOUT} Seeds: {seeds}.", 1000), class_="about")
    charts = [
        element("figure", interval_chart(f"{TITLES[name]}, %", own), element("figcaption", esc(f"{TITLES[name]}, %")))
        for name, own in results["figures"].items()
    ]
    body = element("header", header) + element("main", element("div", *charts, class_="charts"), _tables(results))
    return f"<!DOCTYPE html>\n{element('html', element('head', head), element('body', body), lang='en')}\n"


def _tables(results: Mapping[str, Any]) -> str:
    names = [TITLES[name] for name in results["figures"]]
    parts = []
    for caption, key in (("Figures, %", "figures"), ("Differences", "contrasts")):
        rows = dict.fromkeys(row for own in results[key].values() for row in own)
        cells = [(esc(row), [element("td", esc(shown(own[row]))) for own in results[key].values()]) for row in rows]
        parts.append(table(f"{caption}, with 95 % intervals", ["", *names], cells))
    columns = {"pairs": "pairs", "truth_rate": "true", "i2c_mean": "S(I²C)", "yes_share": "yes among yes/no"}
    sets = [
        (esc(name), [cell(own[key], 0 if key == "pairs" else 3) for key in columns])
        for name, own in results["means_of_sets"].items()
    ]
    return "".join([*parts, table("Sets, means over the seeds", ["set", *columns.values()], sets)])


def interval_chart(title: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    """One row a model: its interval, its mean, and a small mark for each seed.

    Args:
        title: what the chart shows, for screen readers.
        rows: `mean`, `low`, `high` and `by_seed` of each.
    """
    values = [value for own in rows.values() for value in (own["mean"], own["low"], own["high"], *own["by_seed"])]
    low, high = rounded_out(*span(values))
    across = Scale(low, high, _NAMES, draw.WIDTH - draw.RIGHT)
    bottom = _TOP + _ROW * len(rows)
    axis = []
    for value, text in ticks(low, high):
        at = across(value)
        axis.append(element("line", x1=at, y1=_TOP, x2=at, y2=bottom, stroke="currentColor", stroke_opacity=0.15))
        axis.append(draw.label(text, at, bottom + 18))
    drawn = [_row(across, _TOP + _ROW * (place + 0.5), name, own) for place, (name, own) in enumerate(rows.items())]
    return draw.canvas(
        title, *axis, draw.label(title, (_NAMES + draw.WIDTH) / 2, bottom + 37), *drawn, height=bottom + _BOTTOM
    )


def _row(across: Scale, y: float, name: str, own: Mapping[str, Any]) -> str:
    shade = draw.colour(0)
    tip = element("title", esc(f"{name}: {shown(own)}"))
    line = element("line", x1=across(own["low"]), y1=y, x2=across(own["high"]), y2=y, stroke=shade, stroke_width=3.0)
    seeds = [
        element("line", x1=across(one), y1=y + 6, x2=across(one), y2=y + 11, stroke="currentColor", stroke_opacity=0.6)
        for one in own["by_seed"]
    ]
    mean = element("path", d=draw.marker(0, across(own["mean"]), y), fill=shade)
    label = draw.label(name, _NAMES - 10, y + 4, "end")
    return element("g", tip, label, *seeds, line, mean, data_series=name, data_value=exact(own["mean"]))
