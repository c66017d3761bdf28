"""How the readings of S(I2C) rank the answers of a set: against each other, confidence, length and another image."""

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
COLUMNS = (*READINGS_AND_RIVAL, TOKENS)
# Answers that are kept: rank correlations are then within 0.02 of the whole set's, and take constant memory.
SAMPLE = 10_000


class RankSample:
    """A random sample of a set's scored answers, and how their scores rank them.

    Args:
        size: answers kept.
        seed: of the sample.
    """

    def __init__(self, size: int = SAMPLE, seed: int = 0) -> None:
        self._size, self._random, self._seen = size, stream(seed), 0
        self._rows: list[tuple[float, ...]] = []

    def add(self, scores: Mapping[str, Any]) -> None:
        """Offer an answer: its readings, confidence, length, and `shuffled` where it was scored with another image."""
        known = (finite(scores.get(name)) for name in (*COLUMNS, SHUFFLED))
        row = tuple(math.nan if value is None else value for value in known)
        if any(math.isnan(value) for value in row[:-1]):
            return
        self._seen += 1
        if len(self._rows) < self._size:
            self._rows.append(row)
        elif (slot := self._random.randrange(self._seen)) < self._size:
            self._rows[slot] = row

    def figures(self) -> dict[str, Any]:
        """Rank correlations.

        Returns:
            `answers` and `of`: how many were taken of how many; `correlation`: Spearman's of each reading, and of
            confidence (`mean_logp`), with all of them, with the length (`tokens`) and with `shuffled`;
            `explained_by_shuffled`: the square of the last one, which is the share of the variance of the reading's
            ranks that a straight line through the ranks of the control gives. None where a column is constant or
            missing.
        """
        table = np.array(self._rows, dtype=np.float64).reshape(-1, len(COLUMNS) + 1)
        among = rank_correlations(table[:, :-1])
        control = rank_correlations(table[~np.isnan(table[:, -1])])[:, -1]
        correlation = dict[str, dict[str, float | None]]()
        explained = dict[str, float | None]()
        for index, name in enumerate(READINGS_AND_RIVAL):
            rho = finite(float(control[index]))
            correlation[name] = {**_named(COLUMNS, among[index].tolist()), SHUFFLED: rho}
            explained[name] = None if rho is None else rho**2
        return {
            "answers": len(self._rows),
            "of": self._seen,
            "correlation": correlation,
            "explained_by_shuffled": explained,
        }


def ranks_table(figures: Mapping[str, Any]) -> Table:
    """What the terminal shows of `RankSample.figures`."""
    answers, of = figures["answers"], figures["of"]
    some = f"{answers} answers" if answers == of else f"{answers} of {of} answers, drawn at random"
    table = Table(
        "rank correlation with", *READINGS_AND_RIVAL, title=f"how the readings rank {some}", title_justify="left"
    )
    for name in (*COLUMNS, SHUFFLED):
        table.add_row(name, *(_cell(figures["correlation"][reading][name]) for reading in READINGS_AND_RIVAL))
    table.add_row("explained by shuffled", *map(_cell, figures["explained_by_shuffled"].values()))
    table.caption = (
        "shuffled: `answer` with another image; explained: the square, the share of a ranking that it gives too"
    )
    return table


def _named(names: Sequence[str], values: Sequence[float]) -> dict[str, float | None]:
    return dict(zip(names, map(finite, values), strict=True))


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
