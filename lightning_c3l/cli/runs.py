"""`runs`: what runs there are, how they ended, and their headline figures."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from lightning_c3l.cli.options import parse_options, word
from lightning_c3l.report.differences import benchmark_figures, run_figures
from lightning_c3l.report.figures import HELD_OUT, OWN_IMAGES, criterion_name, nested
from lightning_c3l.report.headline import headline
from lightning_c3l.report.terminal import console
from lightning_c3l.report.text import MISSING, number, printable
from lightning_c3l.runs.listing import FoundRun, find_runs, read_run

# figures of the table, before and after the rounds, with their heads
_CRITERION = ("held_out_criterion_start", "held_out_criterion")
_SHOWN = {
    HELD_OUT: _CRITERION,
    OWN_IMAGES: _CRITERION,
    "truth": ("base_truth_rate", "tuned_truth_rate"),
    "pairs": ("dataset_pairs",),
}
# columns that a narrow terminal has no room for, the first to go first
_DROPPED = ("seconds", "pairs", "began", "verb", "truth", "verdict", "benchmark", OWN_IMAGES, HELD_OUT)
# characters of one cell, and of the options that differ
_LONGEST = 300


@dataclass(frozen=True)
class RunsOptions:
    """List runs with how they ended, the options that differ from their experiment file, and headline figures.

    Example:
        c3l runs runs/sweeps --sort held_out_criterion

    Attributes:
        folder: folder of runs.
        sort: figure to sort by, highest first, such as `held_out_criterion`; the newest run comes first unless given.
        json: print one JSON list with all figures of every run.
    """

    folder: str = word("runs")
    sort: str | None = None
    json: bool = False


@dataclass(frozen=True)
class ListedRun:
    """A line of the list.

    Attributes:
        name: its path from the folder that is listed.
        found: what its folder says.
        figures: of its end, by name.
        verdict: whether its rounds helped, empty where it has not finished.
    """

    name: str
    found: FoundRun
    figures: Mapping[str, float]
    verdict: str

    @property
    def began(self) -> datetime:
        """Time of its first start, or of its last where that is not known."""
        try:
            return datetime.fromisoformat(str(nested(self.found.summary, "run").get("started")))
        except ValueError:
            return self.found.began

    @property
    def changed(self) -> Mapping[str, Any]:
        """Options that differ from its experiment file."""
        return nested(nested(self.found.summary, "run"), "changed")

    def to_json(self) -> dict[str, Any]:
        """All that is known of the run."""
        return {
            "name": self.name,
            "folder": str(self.found.folder),
            "verb": self.found.verb,
            "began": self.began.isoformat(),
            "status": self.found.status,
            "changed": dict(self.changed),
            "verdict": self.verdict or None,
            "figures": dict(self.figures),
            "problems": list(self.found.problems),
        }


def main(arguments: list[str]) -> int:
    """Run the verb `runs`; returns its exit status."""
    options = parse_options("runs", RunsOptions, arguments)
    folder = Path(options.folder)
    if not folder.is_dir():
        raise ValueError(f"{options.folder}: no such folder; give one that holds runs")
    runs = sorted(_listed(folder), key=lambda run: run.began.timestamp(), reverse=True)
    if options.sort is not None:
        runs = _by_figure(runs, options.sort)
    if options.json:
        print(json.dumps([run.to_json() for run in runs], indent=2))
    elif runs:
        out = console()
        for line in _lines(runs, options.sort, out.width):
            out.print(line)
        for run in runs:
            for problem in run.found.problems:
                print(printable(problem))
    else:
        print(f"no runs in {options.folder}")
    return 0


def _listed(folder: Path) -> Iterable[ListedRun]:
    for path in find_runs(folder):
        found = read_run(path)
        name = str(path.relative_to(folder)) if path != folder else path.name
        yield ListedRun(name, found, run_figures(found.summary), _verdict(found))


def _verdict(found: FoundRun) -> str:
    """Whether the rounds helped; the run itself has noted it, since intervals take time."""
    if found.status != "finished" or not found.summary.get("rounds"):
        return ""
    noted = found.summary.get("verdict")
    return noted if isinstance(noted, str) else headline(found.summary).verdict


def _by_figure(runs: Sequence[ListedRun], figure: str) -> list[ListedRun]:
    """Highest first; runs without the figure last."""
    known = sorted({name for run in runs for name in run.figures})
    if runs and figure not in known:
        raise ValueError(f"--sort {figure}: no run here has this figure; known are {', '.join(known) or 'none'}")
    having = [run for run in runs if figure in run.figures]
    return sorted(having, key=lambda run: -run.figures[figure]) + [run for run in runs if figure not in run.figures]


def _lines(runs: Sequence[ListedRun], sort: str | None, width: int) -> Iterator[RenderableType]:
    """A head, and a line a run with the options that differ below it.

    Columns that no run has anything for are left out, then those that a narrow terminal has no room for.
    """
    columns: dict[str, list[str]] = {
        "run": [run.name for run in runs],
        "began": [f"{run.began.astimezone():%m-%d %H:%M}" for run in runs],
        "status": [run.found.status for run in runs],
        "verb": [run.found.verb for run in runs] if len({run.found.verb for run in runs}) > 1 else [],
        "verdict": [run.verdict for run in runs],
        "benchmark": [_first(benchmark_figures(run.found.summary)) for run in runs],
    }
    if sort is not None and sort not in {name for names in _SHOWN.values() for name in names}:
        columns[sort] = [number(run.figures.get(sort)) for run in runs]
    for head, names in _SHOWN.items():
        columns[head] = [
            # a run has the criterion under one of its two names
            MISSING
            if names == _CRITERION and head != criterion_name(nested(run.found.summary, "guard"))
            else _change([run.figures.get(name) for name in names])
            for run in runs
        ]
    columns["seconds"] = [number(run.figures.get("seconds_total"), 0) for run in runs]
    cells = {
        head: [printable(one, _LONGEST) for one in (head, *column)]
        for head, column in columns.items()
        if any(one not in ("", MISSING) for one in column)
    }
    widths = {head: max(map(cell_len, column)) for head, column in cells.items()}
    for head in _DROPPED:
        if sum(widths.values()) + 2 * len(widths) > width:
            widths.pop(head, None)
    left_out = [head for head in cells if head not in widths]
    for index in range(len(runs) + 1):
        line = "  ".join(set_cell_size(cells[head][index], size) for head, size in widths.items()).rstrip()
        # Text objects, because plain strings would be read as rich markup
        yield Text(line, style="bold" if index == 0 else "", no_wrap=True, overflow="fold")
        if index and (changed := _options(runs[index - 1].changed)):
            yield Padding(Text(printable(changed, _LONGEST), style="dim"), (0, 0, 0, 4))
    if left_out:
        yield Text(f"left out for want of width: {', '.join(left_out)}; --json has all figures", style="dim")


def _change(values: Sequence[float | None]) -> str:
    """Values with arrows between them; a dash where none is known."""
    if all(value is None for value in values):
        return MISSING
    return " → ".join(number(value) if value is None or value % 1 else number(int(value)) for value in values)


def _first(figures: Mapping[str, float]) -> str:
    name, value = next(iter(figures.items()), ("", None))
    return f"{name} {number(value)}" if name else ""


def _options(changed: Mapping[str, Any]) -> str:
    texts = (value if isinstance(value, str) else json.dumps(value) for value in changed.values())
    return " ".join(f"{name}={text}" for name, text in zip(changed, texts, strict=True))
