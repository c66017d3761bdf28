"""What a sweep found: results.json, results.csv, and the table for the terminal."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from experiments.sweeps.trials import Trial, value_text
from experiments.sweeps.walk import Walk
from lightning_c3l.report.text import number
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic

# beside the one that is optimised, where a trial has them: whether it was bought with something else, and what it cost
# with the decimals of each
BESIDE = {
    "held_out_criterion": 4,
    "tuned_truth_rate": 3,
    "parsed_rate": 3,
    "distinct_rate": 3,
    "kind_entropy": 2,
    "limits_broken": 0,
}
_MOST = 20


def figures_beside(walk: Walk) -> list[str]:
    """Names of the figures that are shown beside the one that is optimised."""
    known = {name for trial in walk.trials for name in trial.figures}
    return [name for name in BESIDE if name in known and name != walk.sweep.figure]


def write_results(walk: Walk) -> None:
    """Write results.json and results.csv into the folder of the sweep."""
    rows = [_row(walk, trial) for trial in walk.trials]
    best = walk.best_first()[0]
    found = {
        "name": walk.plan.name,
        "method": walk.sweep.method,
        "metric": {"name": f"final/{walk.sweep.figure}", "goal": walk.sweep.goal},
        "seed": walk.plan.seed,
        "best": None if walk.metric(best) is None else best.name,
        "trials": rows,
    }
    write_json_atomic(walk.plan.folder / "results.json", found)
    write_text_atomic(walk.plan.folder / "results.csv", _csv(rows))


def _row(walk: Walk, trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.name,
        "status": trial.status,
        "exit": trial.exit,
        "reason": trial.reason,
        "seconds": trial.seconds,
        "metric": walk.metric(trial),
        "run": None if trial.run_folder is None else str(trial.run_folder),
        "values": walk.sweep.flat(trial.values),
        "figures": trial.figures,
    }


def _csv(rows: list[dict[str, Any]]) -> str:
    """A line for each trial: its values, then its figures."""
    flat = [
        {**{key: value for key, value in row.items() if key not in ("values", "figures")}, **row["values"]}
        | {f"final/{key}": value for key, value in row["figures"].items()}
        for row in rows
    ]
    written = io.StringIO()
    writer = csv.DictWriter(written, list(dict.fromkeys(key for row in flat for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return written.getvalue()


def results_table(walk: Walk, width: int) -> Table:
    """The trials with a figure from the best down, then the others with what became of them.

    Args:
        walk: the trials.
        width: characters of a line; figures beside the one that is optimised are shown as far as it goes.
    """
    beside = figures_beside(walk)
    table = _table(walk, beside)
    # far wider than any table, to know how wide this one would like to be
    unlimited = Console(width=10_000).options
    while beside and Measurement.get(Console(), unlimited, table).maximum > width:
        beside = beside[:-1]
        table = _table(walk, beside)
    return table


def _table(walk: Walk, beside: Sequence[str]) -> Table:
    """The table with some of the figures beside the one that is optimised."""
    ranked = walk.best_first()
    table = Table(title=Text(f"{walk.plan.name}: final/{walk.sweep.figure}, {walk.sweep.goal}"))
    for name in ("trial", *(one.name.rpartition(".")[2] for one in walk.sweep.parameters)):
        table.add_column(_head(name), overflow="fold")
    for name in (walk.sweep.figure, *beside, "seconds", "status"):
        table.add_column(_head(name), justify="left" if name == "status" else "right", overflow="fold")
    for trial in ranked[:_MOST]:
        values = map(value_text, walk.sweep.flat(trial.values).values())
        figures = [number(trial.figures.get(name), BESIDE[name]) for name in beside]
        cells = [trial.name, *values, number(walk.metric(trial), 4), *figures, number(trial.seconds, 0), trial.status]
        table.add_row(*map(Text, cells))
    if len(ranked) > _MOST:
        table.caption = f"the first {_MOST} of {len(ranked)} trials; all are in results.csv"
    return table


def _head(name: str) -> Text:
    """A word a line, so that a column is as narrow as its longest word."""
    return Text(name.replace("_", "\n"))
