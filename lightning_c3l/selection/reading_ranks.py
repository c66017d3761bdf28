"""Rank correlations of the readings of S(I2C) with each other, confidence, length and another image's score."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from lightning_c3l.functional.finite import finite
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.functional.ranking import rank_correlations
from lightning_c3l.records import READINGS_AND_RIVAL

SHUFFLED, TOKENS = "shuffled", "tokens"
# Rank correlations of so many answers are within 0.02 of the whole set's, and memory stays constant.
SAMPLE = 10_000


class RankSample:
    """Rank correlations over a random sample of a set's scored answers.

    Args:
        size: answers in the sample.
        more: dotted paths of readings of the user's own that the answers were scored by too.

    Attributes:
        readings: the readings and confidence, by name.
    """

    def __init__(self, size: int = SAMPLE, more: Sequence[str] = ()) -> None:
        self.readings = (*READINGS_AND_RIVAL, *more)
        self._columns = (*self.readings, TOKENS)
        self._size, self._random, self._seen = size, stream(0), 0
        self._rows: list[tuple[float, ...]] = []

    def add(self, scores: Mapping[str, Any]) -> None:
        """Offer the scores of an answer: readings, confidence, length, and `shuffled`, its score with another image."""
        known = (finite(scores.get(name)) for name in (*self._columns, SHUFFLED))
        row = tuple(math.nan if value is None else value for value in known)
        if any(math.isnan(value) for value in row[:-1]):
            return
        self._seen += 1
        if len(self._rows) < self._size:
            self._rows.append(row)
        elif (slot := self._random.randrange(self._seen)) < self._size:
            self._rows[slot] = row

    def values(self, name: str) -> list[float]:
        """Finite values of a column, or of `shuffled`, in the sample."""
        index = (*self._columns, SHUFFLED).index(name)
        return [row[index] for row in self._rows if math.isfinite(row[index])]

    def figures(self) -> dict[str, Any]:
        """Rank correlations of the sample.

        Returns:
            `answers` and `of`: size of the sample and of the set; `correlation`: Spearman's of each reading, and of
            confidence (`mean_logp`), with all of them, with the length (`tokens`) and with `shuffled`;
            `explained_by_shuffled`: the square of the last one, the share of the variance of the reading's ranks that
            a straight line through the ranks of the control explains. None where a column is constant or missing.
        """
        table = np.array(self._rows, dtype=np.float64).reshape(-1, len(self._columns) + 1)
        among = rank_correlations(table[:, :-1])
        control = rank_correlations(table[~np.isnan(table[:, -1])])[:, -1]
        correlation = dict[str, dict[str, float | None]]()
        explained = dict[str, float | None]()
        for index, name in enumerate(self.readings):
            rho = finite(float(control[index]))
            own = map(finite, among[index].tolist())
            correlation[name] = dict(zip(self._columns, own, strict=True)) | {SHUFFLED: rho}
            explained[name] = None if rho is None else rho**2
        return {
            "answers": len(self._rows),
            "of": self._seen,
            "correlation": correlation,
            "explained_by_shuffled": explained,
        }


def ranks_table(figures: Mapping[str, Any]) -> Table:
    """The figures of `RankSample` for the terminal."""
    answers, of = figures["answers"], figures["of"]
    some = f"{answers} answers" if answers == of else f"{answers} of {of} answers, drawn at random"
    found = figures["correlation"]
    table = Table("rank correlation with", *found, title=f"how the readings rank {some}", title_justify="left")
    for name in (*found, TOKENS, SHUFFLED):
        table.add_row(name, *(_cell(own[name]) for own in found.values()))
    table.add_row("explained by shuffled", *map(_cell, figures["explained_by_shuffled"].values()))
    table.caption = (
        "shuffled: `answer` with another image; explained: its square, the share of a ranking that it explains"
    )
    return table


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
