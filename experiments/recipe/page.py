"""A look at recipes as one self-contained page: charts of the differences, tables of rows and trials."""

from collections.abc import Mapping
from typing import Any

from jinja2 import PackageLoader

from experiments.recipe.results import STARTING, best_first
from experiments.recipe.sums import TITLES
from experiments.recipe.tables import SHOWN, difference_text, target_text
from experiments.two_by_two.page import interval_chart
from lightning_c3l.functional.finite import finite
from lightning_c3l.report.templating import FigureRow, FigureTable, page_environment


def render(results: Mapping[str, Any]) -> str:
    """The whole page."""
    rows, baseline = results["rows"], results["baseline"]
    order = best_first(results)
    compared = [name for name in order if name not in (baseline, STARTING)]
    charts = dict[str, Any]()
    for figure in SHOWN:
        found = {name: rows[name]["differences"].get(figure) for name in compared}
        known = {name: own for name, own in found.items() if own is not None and finite(own["low"]) is not None}
        if known:
            title = f"{TITLES[figure]}, less that of {baseline}"
            charts[title] = interval_chart(title, known, digits=3)
    tables = [_differences(results, order), _figures(results, order), _costs(results, order)]
    template = page_environment(PackageLoader(__package__)).get_template("recipe.html")
    return template.render(
        name=results["table"],
        stage=results["stage"],
        baseline=baseline,
        seeds=results["seeds"],
        rule=target_text(results["protocol"]["target"]),
        better=[name for name in compared if rows[name]["verdict"].startswith("better")],
        charts=charts,
        tables=tables,
        shown={name: TITLES[name] for name in SHOWN},
        options={name: rows[name]["options"] for name in order if rows[name]["options"]},
        trials=results["trials"],
    )


def _differences(results: Mapping[str, Any], order: list[str]) -> FigureTable:
    rows = [
        FigureRow(
            name,
            [
                *(difference_text(results["rows"][name]["differences"].get(figure)) for figure in SHOWN),
                len(results["rows"][name]["seeds"]),
                results["rows"][name]["verdict"],
            ],
        )
        for name in order
        if name != results["baseline"]
    ]
    columns = ["row", *(TITLES[figure] for figure in SHOWN), "seeds", "verdict"]
    return FigureTable(f"Differences to {results['baseline']}, with 95 % intervals", columns, rows)


def _figures(results: Mapping[str, Any], order: list[str]) -> FigureTable:
    shown = dict.fromkeys(name for row in results["rows"].values() for name in row["figures"])
    rows = [
        FigureRow(name, [results["rows"][name]["figures"].get(figure, {}).get("mean") for figure in shown])
        for name in order
    ]
    return FigureTable("Figures, means over the seeds", ["row", *(TITLES.get(name, name) for name in shown)], rows)


def _costs(results: Mapping[str, Any], order: list[str]) -> FigureTable:
    parts = dict.fromkeys(part for row in results["rows"].values() for part in row["cpu_seconds"])
    rows = [
        FigureRow(name, [results["rows"][name]["cpu_seconds"].get(part) for part in parts], "", 1) for name in order
    ]
    return FigureTable("CPU seconds of a trial", ["row", *parts], rows)
