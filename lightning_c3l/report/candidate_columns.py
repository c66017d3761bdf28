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

# rejected texts of one reason whose positions are kept, as examples
_EXAMPLES = 32
_VERDICTS = {None: 0, "": 0, "right": 1}
OTHER_VERDICT = 2


@dataclass(frozen=True)
class CandidateColumns:
    """N candidates of a round or of a data set.

    Attributes:
        candidates: from which the few that are shown are read.
        reading: the score that pairs were selected by.
        score: that reading, nan where there is none or none that is finite, [N].
        answer: the `answer` reading likewise, [N].
        shuffled: the `answer` reading with another image, of those with scores, likewise, [N].
        verdict: of those with scores, 1 for right, `OTHER_VERDICT` for any other, 0 where the truth is not known, [N].
        status: index into `statuses`, [N].
        kind: index into `kinds`, [N].
        pair: equal for the same image, question and answer, [N]; differs from process to process.
        group: likewise, for the same image and instruction, [N].
        image: likewise, for the same image, [N].
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
    status: NDArray[np.int32]
    kind: NDArray[np.int32]
    pair: NDArray[np.int64]
    group: NDArray[np.int64]
    image: NDArray[np.int64]
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
        codes = [code for code, status in enumerate(self.statuses) if status in statuses]
        return np.isin(self.status, codes)

    def scores_by_kind(self) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Yield the kinds that have finite `answer` readings, in the order of the first, with these readings."""
        known = np.isfinite(self.answer)
        codes, first = np.unique(self.kind[known], return_index=True)
        for code in codes[np.argsort(first)].tolist():
            yield self.kinds[code], self.answer[known & (self.kind == code)]


class _Builder:
    def __init__(self, reading: str) -> None:
        self._reading = reading
        self._score, self._answer, self._shuffled = array("d"), array("d"), array("d")
        self._verdict, self._status, self._kind = array("b"), array("i"), array("i")
        self._pair, self._group, self._image = array("q"), array("q"), array("q")
        self._statuses, self._rejected = Counter[str](), Counter[str]()
        self._codes, self._kinds, self._examples = dict[str, int](), dict[str, int](), dict[str, list[int]]()

    def add(self, one: ScoredCandidate) -> None:
        candidate, scores, position = one.candidate, one.scores, len(self._score)
        instruction = candidate.instruction
        self._score.append(_number(None if scores is None else getattr(scores, self._reading)))
        self._answer.append(_number(None if scores is None else scores.answer))
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

    def finish(self, candidates: Sequence[ScoredCandidate]) -> CandidateColumns:
        return CandidateColumns(
            candidates=candidates,
            reading=self._reading,
            score=np.frombuffer(self._score, np.float64),
            answer=np.frombuffer(self._answer, np.float64),
            shuffled=np.frombuffer(self._shuffled, np.float64),
            verdict=np.frombuffer(self._verdict, np.int8),
            status=np.frombuffer(self._status, np.int32),
            kind=np.frombuffer(self._kind, np.int32),
            pair=np.frombuffer(self._pair, np.int64),
            group=np.frombuffer(self._group, np.int64),
            image=np.frombuffer(self._image, np.int64),
            statuses=self._statuses,
            kinds=tuple(self._kinds),
            rejected=self._rejected,
            examples=self._examples,
        )


def _number(value: object) -> float:
    number = finite(value)
    return math.nan if number is None else number
