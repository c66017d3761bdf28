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


@dataclass(frozen=True)
class Statement:
    """A part of an answer that is true or false by itself.

    Attributes:
        start: position of its first character in the answer.
        end: position behind its last character.
        attribute: what it states, such as a color.
        right: whether it is true.
        invented: whether it is false and what the language prior says.
    """

    start: int
    end: int
    attribute: str
    right: bool
    invented: bool


def whole_answer(verdict: Verdict, answer: str, attribute: str, invented: bool = False) -> list[Statement]:
    """The statements of an answer that is one statement: none if it cannot be understood.

    Args:
        verdict: of the pair.
        answer: the answer.
        attribute: what it states.
        invented: whether it is what the language prior says; counts only where it is not right.
    """
    if verdict == "unparsable":
        return []
    right = verdict == "right"
    return [Statement(0, len(answer), attribute, right, invented and not right)]


class Truth(Protocol):
    """Judges question-answer pairs, and has questions with known answers."""

    def judge(self, image: str, question: str, answer: str) -> Verdict:
        """Judge a question-answer pair about an image.

        Args:
            image: key of the image.
            question: generated question.
            answer: generated answer.
        """

    def statements(self, image: str, question: str, answer: str) -> list[Statement]:
        """What an answer states, in its order; empty if the question or the answer cannot be understood."""

    def questions(self, images: Sequence[str]) -> list[Asked]:
        """Questions for plain question answering on these images."""

    def resolve(self, image: str, question: str) -> Asked | None:
        """A generated question with its true answer; None if it has none."""


def statement_share(truth: Truth, image: str, question: str, answer: str) -> float:
    """Share of an answer's statements that are right, from 0 to 1; 0 if it cannot be understood."""
    return right_share(truth.statements(image, question, answer))


def right_share(statements: Sequence[Statement]) -> float:
    """Share of right statements, from 0 to 1; 0 where there are none."""
    return sum(one.right for one in statements) / len(statements) if statements else 0.0
