"""Figures of a round and of a generator, from scored candidates."""

import math
import statistics
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lightning_c3l.functional.ranking import auroc, rank_correlation
from lightning_c3l.functional.sums import ExactSum
from lightning_c3l.records import READINGS_AND_RIVAL, Candidate, ScoredCandidate, Verdict
from lightning_c3l.rounds.truth import Truth, statement_share
from lightning_c3l.selection.columns import ColumnsBuilder, ScoredRecord
from lightning_c3l.selection.control import random_control
from lightning_c3l.selection.scores import RecordScore
from lightning_c3l.selection.texts import question_type

Judge = Callable[[str, str, str], Verdict]


def judged(scored: Iterable[ScoredCandidate], judge: Judge | None) -> Iterator[ScoredCandidate]:
    """Yield the candidates with the judge's verdicts; unchanged without a judge."""
    if judge is None:
        yield from scored
        return
    for one in scored:
        yield replace(one, verdict=verdict(one.candidate, judge))


def verdict(candidate: Candidate, judge: Judge) -> Verdict:
    """The judge's verdict; "unparsable" for a rejected candidate."""
    return "unparsable" if candidate.rejected else judge(candidate.image, candidate.question, candidate.answer)


def truth_rate(scored: Sequence[ScoredCandidate]) -> float | None:
    """Share of right candidates among the judged ones; None if none was judged."""
    verdicts = [one.verdict for one in scored if one.verdict is not None]
    return verdicts.count("right") / len(verdicts) if verdicts else None


def truth_by_image(scored: Sequence[ScoredCandidate]) -> dict[str, float]:
    """Share of right candidates among the judged ones of each image, by its key."""
    known = [one for one in scored if one.verdict is not None]
    return mean_by_image([one.candidate for one in known], [float(one.verdict == "right") for one in known])


def statement_shares(candidates: Sequence[Candidate], truth: Truth) -> list[float]:
    """Share of right statements in each candidate's answer; 0 for a rejected one."""
    return [0.0 if one.rejected else statement_share(truth, one.image, one.question, one.answer) for one in candidates]


def mean_by_image(candidates: Sequence[Candidate], values: Sequence[float]) -> dict[str, float]:
    """Mean value of the candidates of each image, by its key."""
    own = defaultdict[str, list[float]](list)
    for one, value in zip(candidates, values, strict=True):
        own[one.image].append(value)
    return {image: sum(values) / len(values) for image, values in own.items()}


class WriterFigures:
    """Counts how many of the generated candidates can be parsed, and how diverse they are.

    An LVLM trained on its own best pairs drifts to the easiest type of question, and asks it again and again.
    """

    def __init__(self) -> None:
        self._candidates, self._parsed, self._distinct = 0, 0, 0
        self._types, self._rejected = Counter[str](), Counter[str]()

    def add(self, candidates: Sequence[Candidate]) -> None:
        """Add all candidates of an image."""
        parsed = [one for one in candidates if not one.rejected]
        self._candidates += len(candidates)
        self._parsed += len(parsed)
        self._distinct += len({one.question for one in parsed})
        self._types.update(question_type(one.question) for one in parsed)
        self._rejected.update(one.rejected for one in candidates if one.rejected)

    def finish(self) -> dict[str, Any]:
        """The figures."""
        parsed = self._parsed
        return {
            "candidates": self._candidates,
            "parsed_rate": parsed / self._candidates if self._candidates else 0.0,
            "kind_entropy": _entropy(self._types.values()),
            "distinct_rate": self._distinct / parsed if parsed else 0.0,
            "kind_shares": {name: count / parsed for name, count in sorted(self._types.items())},
            "rejected": dict(self._rejected.most_common()),
        }


def _entropy(counts: Collection[int]) -> float:
    """Entropy -sum s ln s of the shares s, in nats; no count is 0."""
    total = sum(counts)
    return math.fsum(count / total * math.log(1 / (count / total)) for count in counts)


def writer_figures(candidates: Iterable[Candidate]) -> dict[str, Any]:
    """How many of the generated candidates can be parsed, and how diverse they are."""
    by_image, figures = defaultdict[str, list[Candidate]](list), WriterFigures()
    for one in candidates:
        by_image[one.image].append(one)
    for own in by_image.values():
        figures.add(own)
    return figures.finish()


class RoundFigures:
    """Figures of one round for the rounds table, from its candidates with their status, image by image.

    12 bytes of a scored candidate are kept, and as many as columns of the selection have where candidates are judged.

    Args:
        reading: reading of S(I2C) that chose the pseudo-labels.
    """

    def __init__(self, reading: str) -> None:
        self._reading, self._images, self._groups = reading, 0, 0
        self._writer = WriterFigures()
        # codes of the standard library's array: d float64, i int32, b int8
        self._scores, self._tokens = array("d"), array("i")
        self._positives, self._contrast = ExactSum(), Contrast()
        # right and all verdicts, over all candidates and over the positives
        self._right, self._judged = Counter[bool](), Counter[bool]()
        self._columns, self._is_positive, self._is_right = ColumnsBuilder(), array("b"), array("b")

    def add(self, candidates: Sequence[ScoredCandidate]) -> None:
        """Add all candidates of an image; they are judged in all images or in none."""
        self._images += 1
        self._writer.add([one.candidate for one in candidates])
        for one in candidates:
            positive = one.status == "positive"
            self._groups += positive
            if one.scores is not None:
                score = one.scores.value(self._reading)
                self._scores.append(score)
                self._tokens.append(one.scores.tokens)
                if positive:
                    self._positives.add(score)
                if one.shuffled is not None:
                    self._contrast.add(one.scores.answer, one.shuffled)
            if one.verdict is not None:
                self._add_verdict(one, positive)

    def _add_verdict(self, one: ScoredCandidate, positive: bool) -> None:
        right = one.verdict == "right"
        for group in {False, positive}:
            self._right[group] += right
            self._judged[group] += 1
        if one.scores is not None:
            score = RecordScore(0.0, one.scores.tokens)
            self._columns.add(ScoredRecord(len(self._is_right) + 1, score, one.candidate.instruction.kind))
            self._is_positive.append(positive)
            self._is_right.append(right)

    def finish(self, seed: int) -> dict[str, Any]:
        """The figures; those of the truth only if candidates were judged. Nothing may be added afterwards.

        Args:
            seed: of the random control.
        """
        figures: dict[str, Any] = {
            "images": self._images,
            "groups": self._groups,
            **self._writer.finish(),
            "i2c_mean": mean(self._scores),
            "i2c_positive_mean": self._positives.mean(),
            # by the reading of the control, so that the two can be compared
            **({} if self._reading == "answer" else {"i2c_answer_mean": self._contrast.right.mean()}),
            "i2c_shuffled_mean": self._contrast.other.mean(),
            "image_contrast": self._contrast.value(),
            "answer_tokens": mean(self._tokens),
            "length_correlation": self._length_correlation(),
        }
        if self._judged:
            figures |= {
                "truth_rate": self._rate(False),
                "positive_truth_rate": self._rate(True),
                "random_truth_rate": self._random_rate(seed),
            }
        return figures

    def _length_correlation(self) -> float | None:
        tokens = np.frombuffer(self._tokens, np.int32)
        return rank_correlation(self._scores, tokens) if len(tokens) > 1 else None

    def _rate(self, positive: bool) -> float | None:
        return self._right[positive] / self._judged[positive] if self._judged[positive] else None

    def _random_rate(self, seed: int) -> float | None:
        """Truth of as many pairs of each kind and length as were chosen, whatever their scores."""
        columns, chosen = self._columns.finish(), np.frombuffer(self._is_positive, np.bool_)
        drawn = random_control(columns, columns.scored, chosen, seed, exact_lengths=True)
        right = np.frombuffer(self._is_right, np.bool_)[drawn]
        return int(right.sum()) / len(right) if len(right) else None


class AnswerFigures:
    """Figures of further answers: of those that became negatives, and of those that are replayed.

    Args:
        reading: reading of S(I2C) that chose them.
    """

    def __init__(self, reading: str) -> None:
        self._reading, self._scores = reading, ExactSum()
        # of the negatives and of the replayed answers
        self._count, self._judged, self._right = Counter[str](), Counter[str](), Counter[str]()
        self._prior = False

    def add(self, answers: Sequence[ScoredCandidate]) -> None:
        """Add further answers with their status."""
        for one in answers:
            self._prior |= one.status != "replay"
            if one.status == "negative" and one.scores is not None:
                self._scores.add(one.scores.value(self._reading))
            self._count[one.status] += 1
            self._judged[one.status] += one.verdict is not None
            self._right[one.status] += one.verdict == "right"

    def finish(self) -> dict[str, Any]:
        """The figures, none without answers; the truth is that of wrong pseudo-labels: negatives that are right."""
        figures = dict[str, Any]()
        if self._prior:
            figures |= {"answer_negatives": self._count["negative"], "answer_negatives_i2c": self._scores.mean()}
        if self._count["replay"]:
            figures["replayed"] = self._count["replay"]
        for status, name in (("negative", "answer_negatives"), ("replay", "replayed")):
            if self._judged[status]:
                figures[f"{name}_truth_rate"] = self._right[status] / self._judged[status]
        return figures


def round_figures(scored: Iterable[ScoredCandidate], reading: str, seed: int) -> dict[str, Any]:
    """Figures of one round for the rounds table; those of the truth only if candidates were judged.

    Args:
        scored: all candidates of the round, with their status.
        reading: reading of S(I2C) that chose the pseudo-labels.
        seed: of the random control.
    """
    by_image, figures = defaultdict[str, list[ScoredCandidate]](list), RoundFigures(reading)
    for one in scored:
        by_image[one.candidate.image].append(one)
    for own in by_image.values():
        figures.add(own)
    return figures.finish(seed)


class Contrast:
    """Relative difference of S(I2C) with the right image and with another one.

    Attributes:
        right: mean `answer` reading of what was scored with both.
        other: the same with another image.
    """

    def __init__(self) -> None:
        self.right, self.other = ExactSum(), ExactSum()

    def add(self, right: float, other: float) -> None:
        """Add the readings of a candidate."""
        self.right.add(right)
        self.other.add(other)

    def value(self) -> float | None:
        """(r - s) / (|r| + |s|) of the means r and s with the right image and with another.

        Returns:
            1 if another image says nothing about an answer, 0 if it says as much; None if no candidate was scored with
            both.
        """
        right, other = self.right.mean(), self.other.mean()
        if right is None or other is None or right == other == 0:
            return None
        return (right - other) / (abs(right) + abs(other))


def reading_auroc(scored: Sequence[ScoredCandidate]) -> dict[str, Any]:
    """AUROC of each reading, and of plain confidence, at telling right pairs from the others."""
    parsed = [one for one in scored if one.scores is not None and one.verdict is not None]
    labels = [one.verdict == "right" for one in parsed]
    scores = [one.scores for one in parsed if one.scores is not None]
    names = (*READINGS_AND_RIVAL, *(name for name, _ in scores[0].more)) if scores else READINGS_AND_RIVAL
    out: dict[str, Any] = {name: auroc([one.value(name) for one in scores], labels) for name in names}
    return {**out, "n": len(parsed)}


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of no values."""
    return statistics.fmean(values) if values else None
