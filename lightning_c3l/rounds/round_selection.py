"""The selection of a round as a stream: image by image, with columns for what its weights and figures need of all."""

from array import array
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
from lightning.pytorch.profilers import PassThroughProfiler, Profiler

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.rounds.figures import RoundFigures
from lightning_c3l.rounds.group_rows import GroupColumns
from lightning_c3l.selection.pseudo_labels import GroupBy, group_weights, grouped, reading_of, select_group


class RoundSelection:
    """Chooses the pseudo-labels of a round; about 50 bytes of a candidate are kept.

    Args:
        reading: the score to choose and weigh by.
        margin: least distance of a negative from the positive.
        cap: largest weight of a group within its kind.
        by: what groups are made by.
        profiler: measures the stage `select`.
    """

    def __init__(self, reading: str, margin: float, cap: float, by: GroupBy, profiler: Profiler | None = None) -> None:
        self._profiler = profiler or PassThroughProfiler()
        self._reading, self._margin, self._cap, self._by = reading, margin, cap, by
        self._figures = RoundFigures(reading)
        self._count = 0
        # codes of the standard library's array: I uint32, q int64, i int32, d float64
        self._positives, self._negatives, self._starts = array("I"), array("I"), array("q", [0])
        self._kinds, self._scores = array("i"), array("d")
        self._kind_codes: dict[str, int] = {}

    def select(self, scored: Iterable[ScoredCandidate]) -> Iterator[ScoredCandidate]:
        """Yield the candidates with their status, group by group; columns and figures are complete at the end.

        Args:
            scored: those of an image in one place.
        """
        for _, of_image in groupby(scored, key=lambda one: one.candidate.image):
            own = list(of_image)
            with self._profiler.profile("select"):
                judged = [one for group in grouped(own, self._by) for one in self._select_group(group)]
                self._figures.add(judged)
            yield from judged

    def _select_group(self, candidates: list[ScoredCandidate]) -> list[ScoredCandidate]:
        group, judged = select_group(candidates, self._reading, self._margin, self._by)
        if group is not None:
            numbered = list(enumerate(judged, self._count))
            self._positives.extend(number for number, one in numbered if one.status == "positive")
            self._negatives.extend(number for number, one in numbered if one.status == "negative")
            self._starts.append(len(self._negatives))
            kind = group.positive.candidate.instruction.kind
            self._kinds.append(self._kind_codes.setdefault(kind, len(self._kind_codes)))
            self._scores.append(reading_of(group.positive, self._reading))
        self._count += len(judged)
        return judged

    def groups(self) -> GroupColumns:
        """The groups with their weights."""
        weights = group_weights(np.frombuffer(self._kinds, np.int32), np.frombuffer(self._scores), self._cap)
        return GroupColumns(
            np.frombuffer(self._positives, np.uint32),
            np.frombuffer(self._negatives, np.uint32),
            np.frombuffer(self._starts, np.int64),
            weights,
            weights,
        )

    def figures(self, seed: int) -> dict[str, Any]:
        """Figures of the round, as `round_figures` gives them."""
        return self._figures.finish(seed)
