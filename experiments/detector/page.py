"""The experiment as one self-contained page, and its picture."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from jinja2 import PackageLoader
from markupsafe import Markup

from experiments.detector.results import tables
from experiments.two_by_two.page import interval_chart
from lightning_c3l.report.templating import FigureRow, FigureTable, page_environment


def render(results: Mapping[str, Any]) -> str:
    """The whole page."""
    shown = [
        FigureTable(caption, head, [FigureRow(name, list(cells)) for name, *cells in rows])
        for caption, head, rows in tables(results)
    ]
    charts = {f"AUROC of {level}, %": auroc_chart(results, level) for level in results["levels"]}
    template = page_environment(PackageLoader(__package__)).get_template("detector.html")
    return template.render(plan=results["plan"], charts=charts, tables=shown)


def auroc_chart(results: Mapping[str, Any], level: str) -> Markup:
    """AUROC of each score of a level, in percent."""
    rows = dict[str, dict[str, Any]]()
    for name, one in results["levels"][level]["scores"].items():
        value, low, high = (100 * one["auroc"][key] for key in ("value", "low", "high"))
        if isfinite(value):
            rows[name] = {"mean": value, "low": low, "high": high, "by_seed": []}
    return interval_chart(f"AUROC of {level}, %", rows)
