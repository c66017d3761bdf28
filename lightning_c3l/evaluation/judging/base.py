"""What is judged, what a judge says, and what is asked of a judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

# which answer a judge reads as Assistant 1; the published reviews know the first alone
Order = Literal["reference first", "candidate first"]
REFERENCE_FIRST: Order = "reference first"
CANDIDATE_FIRST: Order = "candidate first"
ORDERS: tuple[Order, ...] = (REFERENCE_FIRST, CANDIDATE_FIRST)

# the two numbers of a reply in which there are none
UNPARSED = (-1.0, -1.0)


class JudgeError(ValueError):
    """A judge that cannot be asked, or has not said everything; the message says what to do in one line."""


@dataclass(frozen=True)
class ToJudge:
    """Two answers to one question about a picture.

    Attributes:
        id: the question's.
        kind: kind of question, such as `conv`.
        question: what was asked.
        context: description of the picture, which a judge reads in its place.
        reference: the answer that is compared with.
        candidate: the answer that is measured; nobody has looked through it.
    """

    id: str
    kind: str
    question: str
    context: str
    reference: str
    candidate: str


@dataclass(frozen=True)
class Review:
    """What a judge said of two answers.

    Attributes:
        id: the question's.
        kind: kind of question.
        reference: mark of the reference from 1 to 10, -1 in a reply that could not be read.
        candidate: mark of the candidate, likewise.
        text: the whole reply.
        judge: its name; empty where a file does not say.
        order: which answer it read first; the marks are in their places whichever it was.
    """

    id: str
    kind: str
    reference: float
    candidate: float
    text: str
    judge: str = ""
    order: Order = REFERENCE_FIRST

    @property
    def parsed(self) -> bool:
        """Whether the reply held two marks."""
        return (self.reference, self.candidate) != UNPARSED


class Judge(Protocol):
    """Compares answers."""

    name: str

    def review(self, pairs: Sequence[ToJudge], both_orders: bool = False) -> list[Review]:
        """A review of each pair, in their order; with `both_orders` two, one after the other.

        Raises:
            JudgeError: some could not be had.
        """
