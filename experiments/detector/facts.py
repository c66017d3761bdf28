"""What an answer states: each statement with what it is about, and how strong the prior about that is."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_modules.scenes import SceneTruth
from experiments.detector.stored import Row
from lightning_c3l.scenes.park.language import understand
from lightning_c3l.scenes.park.statements import claims
from lightning_c3l.scenes.park.world import PRIOR
from lightning_c3l.scenes.worlds import WORLDS
from lightning_c3l.selection.texts import normalised

_TRUTH = SceneTruth()
# what a statement is about
Topic = tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """A statement of an answer.

    Attributes:
        start: of its first character in the answer.
        end: behind its last.
        right: whether it is true.
        topic: what it is about, such as the color of the birds.
        value: what it says of that.
        strength: of the prior about its thing, the strongest of several; nan where it is not known.
    """

    start: int
    end: int
    right: bool
    topic: Topic
    value: str
    strength: float = float("nan")


def facts_of(row: Row) -> list[Fact]:
    """The statements of a candidate; empty if its question or answer cannot be understood."""
    question, answer = row["question"], row["answer"]
    stated = _TRUTH.statements(row["image"], question, answer)
    query = understand(question) if Path(row["image"]).name.startswith(WORLDS["park"].prefix) else None
    if query is None:
        return [Fact(one.start, one.end, one.right, _of_question(question), normalised(answer)) for one in stated]
    return [
        Fact(
            one.start,
            one.end,
            one.right,
            (claim.attribute, *claim.about),
            claim.value,
            max((PRIOR[name].strength for name in claim.about), default=float("nan")),
        )
        for one, claim in zip(stated, claims(query, answer), strict=True)
    ]


def _of_question(question: str) -> Topic:
    return ("question", normalised(question))


class SelfConsistency:
    """How many of the samples that speak of the same thing say the same.

    Args:
        rows: parsed candidates.
        facts: statements of each.
        by_kind: compare the samples of a group (image and kind) rather than all of an image.
    """

    def __init__(self, rows: Sequence[Row], facts: Sequence[Sequence[Fact]], by_kind: bool) -> None:
        self._by_kind = by_kind
        self._speaking = defaultdict[Topic, Counter[Topic]](Counter)
        self._agreeing = defaultdict[Topic, Counter[tuple[Topic, str]]](Counter)
        for row, own in zip(rows, facts, strict=True):
            group, values = self._group(row), set(_values(row, own))
            self._agreeing[group].update(values)
            self._speaking[group].update({topic for topic, _ in values})

    def of_facts(self, row: Row, facts: Sequence[Fact]) -> float:
        """Share of the samples speaking of a topic that state the same of it, mean over some statements of a row."""
        group, values = self._group(row), _values(row, facts)
        return sum(self._agreeing[group][one] / self._speaking[group][one[0]] for one in values) / len(values)

    def _group(self, row: Row) -> Topic:
        return (row["image"], row["kind"]) if self._by_kind else (row["image"],)


def _values(row: Row, facts: Sequence[Fact]) -> list[tuple[Topic, str]]:
    """What is stated of each topic; an answer that cannot be understood is one statement about its question."""
    return [(one.topic, one.value) for one in facts] or [(_of_question(row["question"]), normalised(row["answer"]))]
