"""Worlds in which it is known whether a question-answer pair is true."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lightning_c3l.records import Verdict


@dataclass(frozen=True)
class Asked:
    """A question with its true answer.

    Attributes:
        image: key of the image.
        kind: kind of the instruction that asks for such questions.
        question: the question.
        answer: the true answer.
        seen: whether training images show the attribute that it is about; None if unknown.
    """

    image: str
    kind: str
    question: str
    answer: str
    seen: bool | None = None


class Truth(Protocol):
    """Judges question-answer pairs, and has questions with known answers."""

    def judge(self, image: str, question: str, answer: str) -> Verdict:
        """Judge a question-answer pair about an image.

        Args:
            image: key of the image.
            question: generated question.
            answer: generated answer.
        """

    def questions(self, images: Sequence[str]) -> list[Asked]:
        """Questions for plain question answering on these images."""

    def resolve(self, image: str, question: str) -> Asked | None:
        """A generated question with its true answer; None if it has none."""
