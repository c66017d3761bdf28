"""The selection of a round as a stream: image by image, with columns for what its weights and figures need of all."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
from lightning.pytorch.profilers import PassThroughProfiler, Profiler

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.records import Group, ScoredCandidate
from lightning_c3l.rounds.figures import AnswerFigures, RoundFigures
from lightning_c3l.rounds.group_rows import GroupColumns
from lightning_c3l.selection.pseudo_labels import PseudoLabelConfig, group_weights, grouped, reading_of, select_group
from lightning_c3l.selection.texts import polarity


class RoundSelection:
    """Chooses the pseudo-labels of a round; about 50 bytes of a candidate are kept.

    Args:
        config: how they are chosen and weighed.
        profiler: measures the stage `select`.
    """

    def __init__(
        self,
        config: PseudoLabelConfig = PseudoLabelConfig(),  # noqa: B008  # frozen
        profiler: Profiler | None = None,
    ) -> None:
        self._config, self._profiler = config, profiler or PassThroughProfiler()
        self._figures, self._answer_figures = RoundFigures(config.reading), AnswerFigures(config.reading)
        self._count, self._answers = 0, 0
        # codes of the standard library's array: I uint32, i int32, q int64, d float64, b int8
        self._positives, self._negatives, self._starts = array("I"), array("i"), array("q", [0])
        self._kinds, self._scores, self._polarity = array("i"), array("d"), array("b")
        self._kind_codes: dict[str, int] = {}
        # positions among the further answers
        self._replays = array("I")

    def select(self, scored: Iterable[ScoredCandidate]) -> Iterator[ScoredCandidate]:
        """Yield the candidates with their status, group by group; columns and figures are complete at the end.

        Args:
            scored: those of an image in one place, with its further answers, which are not yielded.
        """
        for own in _images(scored):
            with self._profiler.profile("select"):
                judged = list[ScoredCandidate]()
                for group, candidates, answers in self._groups_of(own):
                    self._add(group, candidates, answers)
                    judged += candidates
                for _ in _replayed(own):
                    self._replays.append(self._answers)
                    self._answers += 1
                self._figures.add(judged)
            yield from judged

    def answers(self, scored: Iterable[ScoredCandidate]) -> Iterator[ScoredCandidate]:
        """Yield the further answers with their status, in the order in which `select` has counted them.

        Args:
            scored: as given to `select`.
        """
        for own in _images(scored):
            with self._profiler.profile("select"):
                judged = [one for _, _, answers in self._groups_of(own) for one in answers]
                judged += [replace(one, status="replay") for one in _replayed(own)]
                self._answer_figures.add(judged)
            yield from judged

    def _groups_of(
        self, of_image: list[ScoredCandidate]
    ) -> Iterator[tuple[Group | None, list[ScoredCandidate], list[ScoredCandidate]]]:
        """The groups of an image, their candidates and their further answers, with their status."""
        for own in grouped([one for one in of_image if one.candidate.origin != "replay"], self._config.group_by):
            candidates = [one for one in own if not one.candidate.origin]
            answers = [one for one in own if one.candidate.origin]
            group, judged = select_group(candidates, self._config, answers)
            yield group, judged[: len(candidates)], judged[len(candidates) :]

    def _add(self, group: Group | None, candidates: list[ScoredCandidate], answers: list[ScoredCandidate]) -> None:
        """Add a group to the columns."""
        if group is not None:
            numbered = list(enumerate(candidates, self._count))
            self._positives.extend(number for number, one in numbered if one.status == "positive")
            self._negatives.extend(number for number, one in numbered if one.status == "negative")
            # below 0 until it is known how many candidates come first
            further = enumerate(answers, self._answers + 1)
            self._negatives.extend(-number for number, one in further if one.status == "negative")
            self._starts.append(len(self._negatives))
            kind = group.positive.candidate.instruction.kind
            self._kinds.append(self._kind_codes.setdefault(kind, len(self._kind_codes)))
            self._scores.append(reading_of(group.positive, self._config.reading))
            self._polarity.append(polarity([group.positive.candidate.answer]))
        self._count += len(candidates)
        self._answers += len(answers)

    def groups(self, seed: int = 0) -> GroupColumns:
        """The groups with their weights, and replayed answers as groups of their own.

        Positions are those in the candidates and the further answers behind them.

        Args:
            seed: of the draw of replayed answers.
        """
        kinds, polarities = np.frombuffer(self._kinds, np.int32), np.frombuffer(self._polarity, np.int8)
        negatives = np.frombuffer(self._negatives, np.int32).astype(np.int64)
        labelled = GroupColumns(
            np.frombuffer(self._positives, np.uint32),
            np.where(negatives < 0, self._count - 1 - negatives, negatives).astype(np.uint32),
            np.frombuffer(self._starts, np.int64),
            *group_weights(kinds, np.frombuffer(self._scores), polarities, self._config),
        )
        share = self._config.replay
        wanted = round(len(labelled.positives) * share / (1 - share))
        if not (drawn := sorted(stream("replay", seed).sample(self._replays, min(wanted, len(self._replays))))):
            return labelled
        ones, positions = np.ones(len(drawn)), np.array(drawn, np.uint32) + np.uint32(self._count)
        # those that there are stand for all that are wanted
        no_negatives = np.zeros(0, np.uint32), np.zeros(len(drawn) + 1, np.int64)
        replayed = GroupColumns(positions, *no_negatives, ones, ones * (wanted / len(drawn)))
        return labelled.followed_by(replayed)

    def figures(self, seed: int) -> dict[str, Any]:
        """Figures of the round, as `round_figures` gives them, and those of the further answers if there are any."""
        return {**self._figures.finish(seed), **self._answer_figures.finish()}


def _replayed(of_image: list[ScoredCandidate]) -> list[ScoredCandidate]:
    return [one for one in of_image if one.candidate.origin == "replay"]


def _images(scored: Iterable[ScoredCandidate]) -> Iterator[list[ScoredCandidate]]:
    for _, of_image in groupby(scored, key=lambda one: one.candidate.image):
        yield list(of_image)
