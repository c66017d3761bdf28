"""A sweep as one page: each parameter against the metric, and a table of all trials."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import PackageLoader
from markupsafe import Markup

from experiments.sweeps.distributions import Parameter
from experiments.sweeps.results import BESIDE, figures_beside
from experiments.sweeps.trials import Trial, value_text
from experiments.sweeps.walk import Walk
from lightning_c3l.functional.finite import finite
from lightning_c3l.report.drawing import chart, label, palette
from lightning_c3l.report.templating import page_environment
from lightning_c3l.report.text import number

# values of a list that are still drawn side by side, each with its name
_NAMES = 8


def render(walk: Walk) -> str:
    """The whole page."""
    sweep, ranked = walk.sweep, walk.best_first()
    measured = [trial for trial in ranked if walk.metric(trial) is not None]
    charts = dict[str, Markup]()
    for one in sweep.parameters if measured else ():
        points = [(trial.name, _value(walk, one, trial), trial.figures[sweep.figure]) for trial in measured]
        if len({str(_value(walk, one, trial)) for trial in walk.trials}) > 1:
            charts[one.name] = parameter_chart(one, points, sweep.figure)
    template = page_environment(PackageLoader(__package__)).get_template("sweep.html")
    return template.render(
        name=walk.plan.name,
        method=sweep.method,
        goal=sweep.goal,
        figure=sweep.figure,
        best=_told(walk, ranked[0]) if measured else None,
        statuses=_counts(walk.trials),
        charts=charts,
        parameters={one.name: one.path[-1].rpartition(".")[2] for one in sweep.parameters},
        beside=figures_beside(walk),
        rows=[_row(walk, trial) for trial in ranked],
        failed=[trial for trial in walk.trials if trial.status == "failed"],
    )


def parameter_chart(parameter: Parameter, points: Sequence[tuple[str, Any, float]], figure: str) -> Markup:
    """A point for each trial; values that are no numbers, or few of a list, stand side by side.

    Args:
        parameter: on the horizontal axis, logarithmic if its values are spread so.
        points: name, value and figure of each trial.
        figure: on the vertical axis.

    Returns:
        The `svg` element.
    """
    values = [value for _, value, _ in points]
    names = list(dict.fromkeys(map(value_text, sorted(values, key=_order))))
    is_named = any(finite(value) is None or isinstance(value, bool) for value in values)
    is_named = is_named or (parameter.is_discrete and len(names) <= _NAMES)
    title = f"{figure} by {parameter.name}"
    with chart(title) as drawn:
        axes = drawn.axes
        for trial, value, height in points:
            at = names.index(value_text(value)) if is_named else value
            (point,) = axes.plot([at], [height], "o", color=palette(0), markersize=8, alpha=0.75, clip_on=False)
            drawn.mark(
                point, f"trial {trial}, {value_text(value)}: {number(height)}", trial=trial, x=str(value), y=height
            )
        if is_named:
            axes.set_xticks(range(len(names)), list(map(label, names)))
            axes.set_xlim(-0.5, len(names) - 0.5)
        else:
            axes.set_xscale("log" if parameter.is_logarithmic else "linear")
            axes.margins(x=0.05)
        axes.margins(y=0.1)
        axes.set(
            xlabel=label(parameter.path[-1].rpartition(".")[2].replace("_", " ")),
            ylabel=label(figure.replace("_", " ")),
        )
        return drawn.svg()


def _order(value: object) -> tuple[int, float, str]:
    """Numbers by size, then all else by name."""
    real = None if isinstance(value, bool) else finite(value)
    return (1, 0.0, str(value)) if real is None else (0, real, "")


def _value(walk: Walk, parameter: Parameter, trial: Trial) -> Any:
    return walk.sweep.flat(trial.values)[parameter.name]


def _told(walk: Walk, trial: Trial) -> Mapping[str, Any]:
    """The best trial, with the options that make it again."""
    values = walk.sweep.flat(trial.values)
    return {
        "name": trial.name,
        "metric": walk.metric(trial),
        "options": [f"--{name}={value}" for name, value in values.items()],
    }


def _counts(trials: Sequence[Trial]) -> str:
    statuses = [trial.status for trial in trials]
    return ", ".join(f"{statuses.count(one)} {one}" for one in dict.fromkeys(statuses))


def _row(walk: Walk, trial: Trial) -> Mapping[str, Any]:
    return {
        "trial": trial,
        # relative to the page, so that the folder of all runs may be moved
        "link": None if trial.report is None else trial.report.relative_to(walk.plan.folder).as_posix(),
        "values": list(map(value_text, walk.sweep.flat(trial.values).values())),
        "metric": walk.metric(trial),
        "beside": [(trial.figures.get(name), BESIDE[name]) for name in figures_beside(walk)],
    }
