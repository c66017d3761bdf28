"""The console for tables, the table of the rounds, and what is said of a run at its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lightning_c3l.functional.finite import finite
from lightning_c3l.report.figures import figure, rounds_of
from lightning_c3l.report.first_screen import Change, FirstScreen
from lightning_c3l.report.headline import HeadlineFigure
from lightning_c3l.report.text import number, printable

_ROWS = {
    "candidates": "candidates",
    "parsed_rate": "parsed",
    "i2c_mean": "S(I²C), all",
    "i2c_positive_mean": "S(I²C), positives",
    "i2c_answer_mean": "S(I²C) answer, all",
    "i2c_shuffled_mean": "S(I²C) answer, other image",
    "kind_entropy": "entropy of types",
    "distinct_rate": "distinct questions",
    "answer_tokens": "tokens per answer",
    "truth_rate": "truth, all",
    "positive_truth_rate": "truth, positives",
    "random_truth_rate": "truth, random selection",
}
# what a user may look at next, and where it is in the run folder
_NEXT = {
    "figures, curves and examples": "report.html",
    "data set": "vlit.json",
    "its data card": "vlit.card.md",
    "adapter": "adapter",
    "all weights": "model",
}
# columns that fit 80 characters
_MOST = 5
# characters per line where there is no terminal
_WIDTH = 120


def console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or wide enough for tables where the output goes to a file."""
    found = Console(stderr=stderr)
    return found if found.is_terminal else Console(stderr=stderr, width=_WIDTH)


def rounds_table(summary: Mapping[str, Any]) -> Table:
    """One line per figure that some round has, one column per round: the first and the last four."""
    rounds = rounds_of(summary)
    if len(rounds) > _MOST:
        # the first round is what the others are compared with
        rounds = [rounds[0], *rounds[1 - _MOST :]]
    shown = {key: head for key, head in _ROWS.items() if any(finite(one.get(key)) is not None for one in rounds)}
    # Text objects, because plain strings would be read as rich markup.
    table = Table(title=Text(printable(summary.get("name") or "rounds", 80)))
    table.add_column("round")
    for one in rounds:
        table.add_column(Text(printable(one["round"], 20)), justify="right", no_wrap=True)
    for key, head in shown.items():
        table.add_row(Text(head), *(Text(number(one.get(key), figure(key).digits)) for one in rounds))
    return table


def closing(summary: Mapping[str, Any], folder: Path) -> Group:
    """What a run came to: whether the rounds helped, what they cost, and what to look at next.

    Args:
        summary: content of summary.json.
        folder: run folder; what is not there is not named.
    """
    first = FirstScreen.of(summary)
    parts: list[RenderableType] = [Text(first.headline.sentence, style="bold")]
    if first.figures:
        parts.append(_headline_table(first.figures))
    parts += [Text(printable(note, 500), style="bold") for note in first.headline.notes]
    if first.cost:
        stages = ", ".join(f"{stage.name} {stage.time}" for stage in first.stages)
        parts.append(Text(f"took {first.cost}: {stages}"))
    following = Table.grid(padding=(0, 2))
    for what, path in _NEXT.items():
        if (folder / path).exists():
            following.add_row(f"  {what}", Text(str(folder / path), overflow="fold"))
    return Group(*parts, Text("look at next:"), following)


def _headline_table(figures: Sequence[tuple[HeadlineFigure, Change | None]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for one, change in figures:
        before = "" if one.before is None else f"{number(one.before, one.digits)} \u2192 "
        table.add_row(
            f"  {one.name}", f"{before}{number(one.after, one.digits)}", "" if change is None else change.text
        )
    return table
