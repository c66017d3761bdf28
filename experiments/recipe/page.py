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
    baseline, rows = results["baseline"], {name: results["rows"][name] for name in best_first(results)}
    compared = [name for name in rows if name not in (baseline, STARTING)]
    charts = dict[str, Any]()
    for figure in SHOWN:
        found = {name: rows[name]["differences"].get(figure) for name in compared}
        known = {name: own for name, own in found.items() if own is not None and finite(own["low"]) is not None}
        if known:
            title = f"{TITLES[figure]}, less that of {baseline}"
            charts[title] = interval_chart(title, known, digits=3)
    template = page_environment(PackageLoader(__package__)).get_template("recipe.html")
    return template.render(
        name=results["table"],
        stage=results["stage"],
        baseline=baseline,
        seeds=results["seeds"],
        rule=target_text(results["protocol"]["target"]),
        better=[name for name in compared if rows[name]["verdict"].startswith("better")],
        charts=charts,
        tables=[_differences(rows, baseline), _figures(rows), _costs(rows)],
        shown={name: TITLES[name] for name in SHOWN},
        options={name: own["options"] for name, own in rows.items() if own["options"]},
        trials=results["trials"],
    )


def _differences(rows: Mapping[str, Any], baseline: str) -> FigureTable:
    lines = list[FigureRow]()
    for name, own in rows.items():
        if name != baseline:
            gaps = [difference_text(own["differences"].get(figure)) for figure in SHOWN]
            lines.append(FigureRow(name, [*gaps, len(own["seeds"]), own["verdict"]]))
    columns = ["row", *(TITLES[figure] for figure in SHOWN), "seeds", "verdict"]
    return FigureTable(f"Differences to {baseline}, with 95 % intervals", columns, lines)


def _figures(rows: Mapping[str, Any]) -> FigureTable:
    shown = dict.fromkeys(figure for own in rows.values() for figure in own["figures"])
    lines = [
        FigureRow(name, [own["figures"].get(figure, {}).get("mean") for figure in shown]) for name, own in rows.items()
    ]
    return FigureTable("Figures, means over the seeds", ["row", *(TITLES.get(name, name) for name in shown)], lines)


def _costs(rows: Mapping[str, Any]) -> FigureTable:
    parts = dict.fromkeys(part for own in rows.values() for part in own["cpu_seconds"])
    lines = [FigureRow(name, list(map(own["cpu_seconds"].get, parts)), digits=1) for name, own in rows.items()]
    return FigureTable("CPU seconds of a trial", ["row", *parts], lines)
