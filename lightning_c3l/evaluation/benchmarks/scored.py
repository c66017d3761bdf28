"""What scoring adds to a benchmark: figures by protocol, and what their intervals are made from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.evaluation.benchmarks.base import Answer, Benchmark, Question

Pair = tuple[Question, Answer]
# figures by name; what has none is left out
Figures = Mapping[str, float]


class Asked(NamedTuple):
    """What a row of an answer file, or the file's name, says of the row's question."""

    id: str
    splits: Sequence[str]
    text: str


@dataclass(frozen=True)
class Scored:
    """Figures of one protocol.

    Attributes:
        headline: the figure that stands for the benchmark.
        n: number of answers.
        unparsable: answers that the protocol could not read.
        figures: further ones over everything.
        tables: figures of each category, by table and category.
        parts: what each unit (question, or base question) adds to the sums that the headline is made from, `[N, K]`
            for each part that is resampled apart.
        figure: the headline from totals `[..., P, K]`.
        right: whether each unit is right, `[U]` bool; None where nothing is right or wrong.
        meaning: what the headline is, where its name does not say it.
    """

    headline: float
    n: int
    unparsable: int
    figures: Figures
    tables: Mapping[str, Mapping[str, Figures]]
    parts: Sequence[NDArray[Any]]
    figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    right: NDArray[np.bool_] | None = field(default=None)
    meaning: str = ""


class FiledBenchmark(Benchmark, Protocol):
    """A benchmark that says which files are its own."""

    def files(self, paths: Sequence[Path]) -> list[Path]:
        """The files that are read where these files or folders are named.

        Raises:
            ValueError: a folder holds none.
        """


class ScoredBenchmark(FiledBenchmark, Protocol):
    """A benchmark whose answers can be scored one by one, without a judge."""

    def unit(self, question: Question) -> str:
        """Name of what is counted as one: the question, or the base question that several rows share."""

    def question_ids(self, rows: Sequence[Asked], questions: Sequence[Question]) -> list[str]:
        """Ids of the questions that an answer file's rows mean.

        Args:
            rows: what they say of their questions.
            questions: all there are.
        """

    def says_truth(self, truth: str, options: Mapping[str, str]) -> str:
        """A truth as questions have it, from a row's cell; empty where it is none."""

    def needs(self, protocol: str) -> str:
        """Field of an answer file that a protocol reads: `text` or `losses`."""

    def columns(self, pairs: Sequence[Pair], protocol: str) -> tuple[NDArray[Any], ...]:
        """What the headline is made from: columns over the pairs, as its metric (`metrics.over_ranks`) takes them."""

    def score(self, pairs: Sequence[Pair], protocol: str) -> Scored:
        """All figures, of at least one pair."""

    def notes(self, pairs: Sequence[Pair], protocol: str) -> list[str]:
        """What a reader of the figures must know."""


def by_category(pairs: Sequence[Pair]) -> Mapping[str, Mapping[str, list[int]]]:
    """Places of the pairs of each category, by table and category; categories in the order of their names."""
    tables: dict[str, dict[str, list[int]]] = {}
    for place, (question, _) in enumerate(pairs):
        for table, category in question.categories.items():
            if category:
                tables.setdefault(table, {}).setdefault(category, []).append(place)
    return {table: dict(sorted(categories.items())) for table, categories in tables.items()}
