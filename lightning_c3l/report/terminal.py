"""The console for tables, and the table of the rounds."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_c3l.functional.finite import finite
from lightning_c3l.report.figures import figure, nested, rounds_of
from lightning_c3l.report.text import number, printable

_ROWS = {
    "candidates": "candidates",
    "parsed_rate": "parsed",
    "i2c_mean": "S(I²C), all",
    "i2c_positive_mean": "S(I²C), positives",
    "i2c_shuffled_mean": "S(I²C), other image",
    "kind_entropy": "kind entropy",
    "distinct_rate": "distinct questions",
    "answer_tokens": "tokens per answer",
    "truth_rate": "truth, all",
    "positive_truth_rate": "truth, positives",
    "random_truth_rate": "truth, random selection",
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
    states = nested(summary, "guard").get("states") or []
    if broken := [f"state {state['round']}: {limit}" for state in states for limit in state.get("tripped") or []]:
        table.caption = Text(printable("\n".join(broken), 2000), style="bold", justify="left")
    table.add_column("round")
    for one in rounds:
        table.add_column(Text(printable(one["round"], 20)), justify="right", no_wrap=True)
    for key, head in shown.items():
        table.add_row(Text(head), *(Text(number(one.get(key), figure(key).digits)) for one in rounds))
    return table
