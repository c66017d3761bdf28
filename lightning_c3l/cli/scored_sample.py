"""Some answers of a scored set: highest, lowest, undecided and random ones, and why others were rejected."""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data_modules.formats import Record
from lightning_c3l.functional.finite import finite
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.selection.reading_ranks import SHUFFLED

SIZE = 20
# the reading that the control with another image has, and that orders the answers
READING = "answer"


@dataclass(frozen=True)
class ShownAnswer:
    """An answer with its scores.

    Attributes:
        record: number of its record, from 1.
        row: number of its record in the scored set, where broken ones are left out.
        turn: index among the record's messages.
        image: name of the record's first image, empty without one.
        question: the message before it.
        text: the answer.
        scores: as its row has them.
        whole: its record.
    """

    record: int
    row: int
    turn: int
    image: str
    question: str
    text: str
    scores: Mapping[str, Any]
    whole: Record


class AnswerSample:
    """Keeps few of the answers that go by, whatever the size of the set.

    Args:
        size: answers of each kind: highest, lowest, those that score nearest to another image, and random.
        seed: of the random ones.
    """

    def __init__(self, size: int = SIZE, seed: int = 0) -> None:
        self._size, self._random, self._seen = size, stream("answers", seed), 0
        # by score, and by order where scores are equal
        self._highest: list[tuple[float, int, ShownAnswer]] = []
        self._lowest: list[tuple[float, int, ShownAnswer]] = []
        self._nearest: list[tuple[float, int, ShownAnswer]] = []
        self._others: list[ShownAnswer] = []

    def add(self, number: int, row: int, record: Record, turn: Mapping[str, Any]) -> None:
        """Offer a scored answer.

        Args:
            number: of the record in its set.
            row: number of the record in the scored set.
            record: the record.
            turn: scores of the answer.
        """
        score, index = finite(turn[READING]), turn["turn"]
        if score is None:
            return
        self._seen += 1
        # without the control with another image the threshold is 0: the answer owes nothing to its image
        distance = abs(score - (finite(turn.get(SHUFFLED)) or 0.0))
        heaps = [
            (heap, rank)
            for heap, rank in ((self._highest, score), (self._lowest, -score), (self._nearest, -distance))
            if len(heap) < self._size or rank > heap[0][0]
        ]
        slot = len(self._others) if self._seen <= self._size else self._random.randrange(self._seen)
        if not heaps and slot >= self._size:
            return
        image = next((one.name for one in record.images), "")
        question = record.messages[index - 1].text.strip() if index else ""
        shown = ShownAnswer(number, row, index, image, question, record.messages[index].text, turn, record)
        for heap, rank in heaps:
            entry = (rank, -self._seen, shown)
            if len(heap) < self._size:
                heapq.heappush(heap, entry)
            else:
                heapq.heapreplace(heap, entry)
        if slot < self._size:
            self._others[slot : slot + 1] = [shown]

    def answers(self) -> Iterator[tuple[str, ShownAnswer]]:
        """Yield each answer once, with why it is shown: `highest`, `lowest`, `nearest` or `random`."""
        heaps = self._highest, self._lowest, self._nearest
        highest, lowest, nearest = ([entry[2] for entry in sorted(heap, reverse=True)] for heap in heaps)
        # few answers are divided in halves
        kinds = {
            "highest": highest[: (self._seen + 1) // 2],
            "lowest": lowest,
            "nearest": nearest,
            "random": self._others,
        }
        seen = set[tuple[int, int]]()
        for shown_as, several in kinds.items():
            for one in several:
                if (one.record, one.turn) not in seen:
                    seen.add((one.record, one.turn))
                    yield shown_as, one


@dataclass(frozen=True)
class RejectedAnswer:
    """A record or an answer that has no score.

    Attributes:
        record: number of its record, from 1.
        reason: why.
        whole: its record, None for one that could not be read.
        turn: index among the record's messages, None for a whole record.
    """

    record: int
    reason: str
    whole: Record | None = None
    turn: int | None = None


class RejectedSample:
    """Counts what was rejected by reason, and keeps the first ones; memory is constant whatever the reasons.

    Args:
        size: how many are kept, and how many reasons are told apart.
    """

    OTHER = "other reasons"

    def __init__(self, size: int = SIZE) -> None:
        self._size, self.reasons, self.first = size, Counter[str](), list[RejectedAnswer]()

    def add(self, rejected: RejectedAnswer) -> None:
        """Count one, and keep it if it is among the first of its reason."""
        known = rejected.reason in self.reasons or len(self.reasons) < self._size
        reason = rejected.reason if known else self.OTHER
        # four of a reason leave room for the others
        if self.reasons[reason] < 4 and len(self.first) < self._size:
            self.first.append(rejected)
        self.reasons[reason] += 1
