"""What an answer states: each statement with what it is about, and how strong the prior about that is."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
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
        return [Fact(one.start, one.end, one.right, _asked(question), normalised(answer)) for one in stated]
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


def _asked(question: str) -> Topic:
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
        self._spoken = defaultdict[Topic, Counter[Topic]](Counter)
        self._said = defaultdict[Topic, Counter[tuple[Topic, str]]](Counter)
        for row, own in zip(rows, facts, strict=True):
            group, said = self._group(row), {(one.topic, one.value) for one in own} or {_text(row)}
            self._said[group].update(said)
            self._spoken[group].update({topic for topic, _ in said})

    def of_fact(self, row: Row, fact: Fact) -> float:
        """Share of the samples speaking of its topic that state the same."""
        return self._share(self._group(row), (fact.topic, fact.value))

    def of_facts(self, row: Row, facts: Sequence[Fact]) -> float:
        """Mean over some statements; of a text that cannot be understood, the share of equal answers."""
        group, said = self._group(row), [(one.topic, one.value) for one in facts] or [_text(row)]
        return sum(self._share(group, one) for one in said) / len(said)

    def _share(self, group: Topic, said: tuple[Topic, str]) -> float:
        return self._said[group][said] / self._spoken[group][said[0]]

    def _group(self, row: Mapping[str, str]) -> Topic:
        return (row["image"], row["kind"]) if self._by_kind else (row["image"],)


def _text(row: Row) -> tuple[Topic, str]:
    return _asked(row["question"]), normalised(row["answer"])
