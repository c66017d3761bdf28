"""The rounds as a table for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from lightning_c3l.report.figures import figure, rounds_of
from lightning_c3l.report.markup import finite, number, visible

_COLUMNS = {
    "candidates": "texts",
    "parsed_rate": "parsed",
    "i2c_mean": "S(I²C)",
    "i2c_positive_mean": "positives",
    "i2c_shuffled_mean": "other image",
    "kind_entropy": "entropy",
    "distinct_rate": "distinct",
    "truth_rate": "truth",
    "positive_truth_rate": "chosen",
    "random_truth_rate": "random",
}


def rounds_table(summary: Mapping[str, Any]) -> Table:
    """One line a round, with the figures that at least one round has."""
    rounds = rounds_of(summary)
    shown = {key: head for key, head in _COLUMNS.items() if any(finite(one.get(key)) is not None for one in rounds)}
    # Text objects, because plain strings would be read as rich markup.
    table = Table(title=Text(visible(summary.get("name") or "rounds", 80)))
    table.add_column("round", justify="right")
    for head in shown.values():
        table.add_column(head, justify="right")
    for one in rounds:
        cells = [number(one.get(key), figure(key).digits) for key in shown]
        table.add_row(*(Text(text) for text in (visible(one["round"], 20), *cells)))
    return table
