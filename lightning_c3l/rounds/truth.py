"""Worlds in which the truth about a written pair is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lightning_c3l.records import Verdict


@dataclass(frozen=True)
class Asked:
    """A question with its true answer.

    Attributes:
        image: key of the image.
        kind: kind of the instruction that would ask for it.
        question: its words.
        answer: what is true.
        seen: whether training images show the attribute that it asks for; None where that is not known.
    """

    image: str
    kind: str
    question: str
    answer: str
    seen: bool | None = None


class Truth(Protocol):
    """Judges pairs and asks questions with known answers."""

    def judge(self, image: str, question: str, answer: str) -> Verdict:
        """Judge a written pair about the image of that key."""

    def questions(self, images: Sequence[str]) -> list[Asked]:
        """Questions for plain question answering on these images."""

    def resolve(self, image: str, question: str) -> Asked | None:
        """A written question with its true answer; None where it has none."""
