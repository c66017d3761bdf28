"""What a page needs of the candidates of a round, as small columns: they are read once, and none is held."""

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.functional.finite import finite
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.close_decisions import CloseDecisions

# rejected texts of one reason whose positions are kept, as examples
_EXAMPLES = 32
_VERDICTS = {None: 0, "": 0, "right": 1}
OTHER_VERDICT = 2
# candidates that are compared at once: those of some whole images
_CHUNK = 4096
# candidates that are ranked at once
_PART = 1 << 16


@dataclass(frozen=True)
class CandidateColumns:
    """N candidates of a round or of a data set, those of an image in one place; 22 bytes of each are held.

    Attributes:
        candidates: from which the few that are shown are read.
        reading: the score that pairs were selected by.
        score: that reading, nan where there is none or none that is finite, [N]; 8 bytes more if it is not `answer`.
        answer: the `answer` reading likewise, [N].
        shuffled: the `answer` reading with another image, of those with scores, likewise, [N].
        verdict: of those with scores, 1 for right, `OTHER_VERDICT` for any other, 0 where the truth is not known, [N].
        status: index into `statuses`, [N].
        kind: index into `kinds`, [N].
        first: 2 for the first with a score of the same image, question and answer, 1 for the first of these that is no
            duplicate, else 0, [N].
        close: positions of the closest decisions of a round, [M, 2]: a positive and its runner-up, or a negative and a
            text within the margin, of one group.
        statuses: how many have each status, in the order of the first of each.
        kinds: kinds of instructions, likewise.
        rejected: how many were rejected for each reason, likewise.
        examples: positions of the first of each reason.
    """

    candidates: Sequence[ScoredCandidate]
    reading: str
    score: NDArray[np.float64]
    answer: NDArray[np.float64]
    shuffled: NDArray[np.float64]
    verdict: NDArray[np.int8]
    status: NDArray[np.int16]
    kind: NDArray[np.int16]
    first: NDArray[np.int8]
    close: NDArray[np.int64]
    statuses: Mapping[str, int]
    kinds: tuple[str, ...]
    rejected: Mapping[str, int]
    examples: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, candidates: Sequence[ScoredCandidate], reading: str = "answer") -> "CandidateColumns":
        """Read candidates.

        Args:
            candidates: all of them, with their status.
            reading: the score that pairs were selected by.
        """
        builder = _Builder(reading)
        for one in candidates:
            builder.add(one)
        return builder.finish(candidates)

    def with_status(self, *statuses: str) -> NDArray[np.bool_]:
        """Which have one of these statuses, [N]."""
        return _with_status(self.status, list(self.statuses), *statuses)

    def scores_by_kind(self) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Yield the kinds that have finite `answer` readings, in the order of the first, with these readings."""
        known = np.isfinite(self.answer)
        for code in _by_first(self.kind, known):
            yield self.kinds[code], self.answer[known & (self.kind == code)]

    def close_of_kinds(self) -> NDArray[np.int64]:
        """Positions of the closest decisions of a data set, [M, 2]: the last kept and the first left out of a kind."""
        close, decided = CloseDecisions(), np.isfinite(self.score) & ~self.with_status("duplicate", "rejected")
        for code in _by_first(self.kind, decided):
            own = np.flatnonzero(decided & (self.kind == code))
            close.add(own, self.score[own], self.status[own])
        return close.positions

    def best_and_worst(self, usable: NDArray[np.bool_], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions of the first and of the last in score of some candidates, both from the best down.

        Args:
            usable: which may be chosen, [N]; with finite scores.
            count: how many of each, fewer where there are fewer; the same candidate may be among both.
        """
        best = worst = np.zeros(0, np.int64)
        for start in range(0, len(usable), _PART):  # so that ranking millions needs no further columns
            own = start + np.flatnonzero(usable[start : start + _PART])
            best, worst = (np.concatenate([known, own]) for known in (best, worst))
            best = best[np.argsort(-self.score[best], kind="stable")[:count]]
            worst = worst[np.argsort(-self.score[worst], kind="stable")]
            worst = worst[max(len(worst) - count, 0) :]
        return best, worst


def _with_status(status: NDArray[np.int16], names: Sequence[str], *wanted: str) -> NDArray[np.bool_]:
    found = np.zeros(len(status), np.bool_)
    for code, name in enumerate(names):
        if name in wanted:
            found |= status == code
    return found


def _by_first(codes: NDArray[np.int16], among: NDArray[np.bool_]) -> list[int]:
    """The codes that occur among some positions, in the order of the first of each."""
    masks = ((code, among & (codes == code)) for code in range(int(codes.max(initial=-1)) + 1))
    first = {code: int(own.argmax()) for code, own in masks if own.any()}
    return sorted(first, key=lambda code: first[code])


class _Builder:
    def __init__(self, reading: str) -> None:
        self._reading = reading
        # codes of the standard library's array: d float64, b int8, h int16, q int64
        self._answer, self._shuffled = array("d"), array("d")
        self._score = self._answer if reading == "answer" else array("d")
        self._verdict, self._status, self._kind, self._first = array("b"), array("h"), array("h"), array("b")
        self._statuses, self._rejected = Counter[str](), Counter[str]()
        self._codes, self._kinds, self._examples = dict[str, int](), dict[str, int](), dict[str, list[int]]()
        self._close, self._last = CloseDecisions(), ""
        self._begin_chunk()

    def _begin_chunk(self) -> None:
        """Forget what the candidates of the last images are compared by."""
        # equal for the same image, question and answer; image and instruction; and image; for this process alone
        self._pair, self._group, self._image = array("q"), array("q"), array("q")

    def add(self, one: ScoredCandidate) -> None:
        candidate, scores, position = one.candidate, one.scores, len(self._answer)
        instruction = candidate.instruction
        if len(self._pair) >= _CHUNK and candidate.image != self._last:
            self._end_chunk()
        self._last = candidate.image
        self._answer.append(_number(None if scores is None else scores.answer))
        if self._score is not self._answer:
            self._score.append(_number(None if scores is None else scores.value(self._reading)))
        self._shuffled.append(_number(None if scores is None else one.shuffled))
        self._verdict.append(0 if scores is None else _VERDICTS.get(one.verdict, OTHER_VERDICT))
        self._status.append(self._codes.setdefault(one.status, len(self._codes)))
        self._statuses[one.status] += 1
        self._kind.append(self._kinds.setdefault(instruction.kind, len(self._kinds)))
        self._pair.append(hash((candidate.image, candidate.question, candidate.answer)))
        self._group.append(hash((candidate.image, instruction.kind, instruction.text)))
        self._image.append(hash(candidate.image))
        if candidate.rejected:
            self._rejected[candidate.rejected] += 1
            examples = self._examples.setdefault(candidate.rejected, [])
            if len(examples) < _EXAMPLES:
                examples.append(position)

    def _end_chunk(self) -> None:
        """Compare the candidates of the last images with each other."""
        start, names = len(self._first), list(self._codes)
        scores, status = np.array(self._score[start:], np.float64), np.array(self._status[start:], np.int16)
        pair, group, image = (np.array(own, np.int64) for own in (self._pair, self._group, self._image))
        usable, duplicate = np.isfinite(scores), _with_status(status, names, "duplicate")
        first = np.maximum(2 * _firsts(pair, usable), _firsts(pair, usable & ~duplicate))
        self._first.frombytes(first.tobytes())
        # groups are the (image, instruction), or the image where they were made by image
        has_positive = np.isin(group, group[_with_status(status, names, "positive")])
        group = np.where(has_positive, group, image)
        own = np.flatnonzero(usable & ~duplicate & ~_with_status(status, names, "rejected"))
        self._close.add(start + own, scores[own], status[own], group[own])
        self._begin_chunk()

    def finish(self, candidates: Sequence[ScoredCandidate]) -> CandidateColumns:
        self._end_chunk()
        return CandidateColumns(
            candidates=candidates,
            reading=self._reading,
            score=np.frombuffer(self._score, np.float64),
            answer=np.frombuffer(self._answer, np.float64),
            shuffled=np.frombuffer(self._shuffled, np.float64),
            verdict=np.frombuffer(self._verdict, np.int8),
            status=np.frombuffer(self._status, np.int16),
            kind=np.frombuffer(self._kind, np.int16),
            first=np.frombuffer(self._first, np.int8),
            close=self._close.positions,
            statuses=self._statuses,
            kinds=tuple(self._kinds),
            rejected=self._rejected,
            examples=self._examples,
        )


def _firsts(values: NDArray[np.int64], among: NDArray[np.bool_]) -> NDArray[np.int8]:
    """1 for the first of each value among some of them, else 0."""
    own, found = np.flatnonzero(among), np.zeros(len(values), np.int8)
    found[own[np.unique(values[own], return_index=True)[1]]] = 1
    return found


def _number(value: object) -> float:
    number = finite(value)
    return math.nan if number is None else number
