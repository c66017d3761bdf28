"""The experiment as one self-contained page: a chart for each figure, and the tables."""

from collections.abc import Mapping
from typing import Any

from jinja2 import PackageLoader
from markupsafe import Markup

from experiments.two_by_two.results import SET_FIGURES, TITLES, interval_text, set_cells, summary
from lightning_c3l.report.drawing import chart, label, palette
from lightning_c3l.report.templating import FigureRow, FigureTable, page_environment


def render(results: Mapping[str, Any]) -> str:
    """The whole page."""
    charts = {
        f"{TITLES[name]}, %": interval_chart(f"{TITLES[name]}, %", own) for name, own in results["figures"].items()
    }
    tables = list[FigureTable]()
    for caption, key in (("Figures, %", "figures"), ("Differences", "contrasts")):
        columns = results[key]
        names = dict.fromkeys(row for own in columns.values() for row in own)
        rows = [FigureRow(row, [interval_text(own[row]) for own in columns.values()]) for row in names]
        tables.append(FigureTable(f"{caption}, with 95 % intervals", ["", *(TITLES[name] for name in columns)], rows))
    titles = [title.replace("I2C", "I²C") for title in SET_FIGURES.values()]
    sets = [FigureRow(name, set_cells(own)) for name, own in results["means_of_sets"].items()]
    tables.append(FigureTable("Sets, means over the seeds", ["set", *titles], sets))
    template = page_environment(PackageLoader(__package__)).get_template("two_by_two.html")
    return template.render(results=results, claim=summary(results), charts=charts, tables=tables)


def interval_chart(title: str, rows: Mapping[str, Mapping[str, Any]], digits: int = 1) -> Markup:
    """One row for each model: its interval, its mean, and a small mark for each seed.

    Args:
        title: for screen readers.
        rows: `mean`, `low`, `high` and `by_seed` of each model.
        digits: decimals of the figures that are shown while the pointer is over a mean.

    Returns:
        The `svg` element.
    """
    with chart(title, 60 + 30 * len(rows)) as drawn:
        axes = drawn.axes
        for index, (name, own) in enumerate(rows.items()):
            axes.plot([own["low"], own["high"]], [index, index], color=palette(0), linewidth=3)
            seeds = own["by_seed"]
            axes.plot(
                seeds, [index + 0.28] * len(seeds), "|", color="#000000", alpha=0.6, markersize=5, markeredgewidth=1
            )
            (mean,) = axes.plot([own["mean"]], [index], "o", color=palette(0), markersize=8, clip_on=False)
            drawn.mark(mean, f"{name}: {interval_text(own, digits)}", series=name, value=own["mean"])
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(length=0)
        # the labels of small differences are long
        axes.locator_params(axis="x", nbins=5)
        axes.set_yticks(range(len(rows)), list(map(label, rows)))
        axes.set(xlabel=title, ylim=(len(rows) - 0.5, -0.5))
        return drawn.svg()
