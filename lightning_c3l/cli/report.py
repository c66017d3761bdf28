"""`report`: the page of a run made again from its folder, or several runs beside each other."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from lightning_c3l.cli.options import parse_options
from lightning_c3l.cli.run_images import RunImages
from lightning_c3l.report.comparison import ComparedRun, RunComparison, compare
from lightning_c3l.report.terminal import closing, console, rounds_table
from lightning_c3l.report.text import printable
from lightning_c3l.rounds.store import DamagedRound, RunStore
from lightning_c3l.runs.atomic import require_writable, write_text_atomic
from lightning_c3l.runs.config_file import read_config
from lightning_c3l.runs.credentials import without_credentials
from lightning_c3l.runs.listing import FoundRun, chosen_runs, read_run
from lightning_c3l.runs.trials import name_of_run

# runs of which each has a sentence in the terminal
_MOST_SENTENCES = 8


@dataclass(frozen=True)
class ReportOptions:
    """Make the page of a run again from what its folder holds, or compare several runs with the first of them.

    Example:
        c3l report runs/demo
        c3l report runs/demo 'runs/sweeps/readings_grid/*'

    Attributes:
        run: run folder, folder of versions (the newest one counts) or pattern of such; several runs are compared.
        out: page to write; unless given, `report.html` in the folder of one run, `compare.html` in that of the first.
    """

    run: list[str]
    out: Path | None = None


def main(arguments: list[str]) -> int:
    """Run the verb `report`; returns its exit status."""
    options = parse_options("report", ReportOptions, arguments)
    folders = chosen_runs(options.run)
    page = options.out or folders[0] / ("report.html" if len(folders) == 1 else "compare.html")
    require_writable(page)
    if len(folders) == 1:
        _make_again(read_run(folders[0]), page)
    else:
        names = distinct_names(folders)
        _compare([_compared(read_run(folder), name) for folder, name in zip(folders, names, strict=True)], page)
    print(f"report: {page}")
    return 0


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """Name and version of each run, with as many folders above them as tell the runs apart."""
    parts = [Path(os.path.realpath(folder)).parts for folder in folders]
    for depth in range(2, max(map(len, parts)) + 1):
        names = ["/".join(own[-depth:]) for own in parts]
        if len(set(names)) == len(names):
            break
    return names


def _make_again(found: FoundRun, page: Path) -> None:
    """Write the page of one run, and show what `fit` shows at its end."""
    # late: a wrong word need not wait for jinja2
    from lightning_c3l.cli.wrong_answers import wrong_answers
    from lightning_c3l.rounds.run_page import read_rounds, write_page

    folder, notes = found.folder, [*found.problems]
    config, problems = _config(folder)
    images = RunImages(config, folder, found.verb)
    with _told_warnings(notes):
        candidates, figures = read_rounds(RunStore(folder))
        if found.status != "finished":
            notes.append(f"This run has not finished ({found.status}): the page shows what it has so far.")
        if found.status == "interrupted" and found.verb == "fit":
            version = folder.name.removeprefix("version_")
            notes.append(f"Its command with --ckpt_path last --run.version {version} goes on.")
        own = found.summary if found.status == "finished" and "rounds" in found.summary else {"rounds": figures}
        summary = {"name": name_of_run(folder), **found.summary, **own}
        summary["notes"] = [*(summary.get("notes") or []), *notes, *problems]
        write_page(folder, summary, candidates, images.read, page, wrong_answers(folder))
    out = console()
    for note in [*notes, *problems, *images.problems]:
        out.print(Text(printable(note, 1000)))
    if summary["rounds"]:
        out.print(rounds_table(summary))
        out.print(closing(summary, folder), highlight=False)


def _compare(runs: Sequence[ComparedRun], page: Path) -> None:
    """Write the page that compares runs, and show its tables."""
    from lightning_c3l.report.comparison_page import comparison_tables, render_comparison  # late: as above

    comparison, out = compare(runs), console()
    write_text_atomic(page, render_comparison(comparison))
    for table in comparison_tables(comparison, out.width):
        out.print(table)
    for line in _sentences(comparison):
        out.print(line)


def _sentences(comparison: RunComparison) -> Iterator[Text]:
    if len(comparison.runs) <= _MOST_SENTENCES:
        for run in comparison.runs:
            yield Text(printable(f"{run.name}: {run.headline.sentence}", 1000))
    for note in comparison.notes:
        yield Text(printable(note, 1000))
    yield Text(printable(comparison.best.sentence, 1000), style="bold")


def _compared(found: FoundRun, name: str) -> ComparedRun:
    """A run as far as its folder can be read."""
    config, problems = _config(found.folder)
    summary, store = dict(found.summary), RunStore(found.folder)
    problems = [*found.problems, *problems]
    if "rounds" not in summary:
        summary["rounds"] = []
        for number in store.rounds():
            try:
                summary["rounds"].append(store.read_figures(number))
            except DamagedRound as error:
                problems.append(str(error))
    return ComparedRun(name, found.status, summary, config, tuple(problems))


def _config(folder: Path) -> tuple[Mapping[str, Any], list[str]]:
    """The configuration of a run, empty with the reason where it cannot be read."""
    try:
        return without_credentials(read_config(folder / "config.yaml")), []
    except FileNotFoundError:
        return {}, [f"{folder / 'config.yaml'} is missing: the options of the run are not known."]
    except (ValueError, OSError) as error:
        return {}, [" ".join(f"{error}; the options of the run are not known.".split())]


@contextmanager
def _told_warnings(notes: list[str]) -> Iterator[None]:
    """Add warnings to the notes, for the page and the terminal."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    notes.extend(str(one.message) for one in told)
