"""What a judge compares, what it returns, and the protocol that it implements."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

# which answer a judge reads as Assistant 1; the published reviews have only the first order
Order = Literal["reference first", "candidate first"]
REFERENCE_FIRST: Order = "reference first"
CANDIDATE_FIRST: Order = "candidate first"
ORDERS: tuple[Order, ...] = (REFERENCE_FIRST, CANDIDATE_FIRST)

# the two ratings of a reply that cannot be parsed
UNPARSED = (-1.0, -1.0)


class JudgeError(ValueError):
    """A judge that cannot be asked, or has not replied to everything; the message says in one line what to do."""


@dataclass(frozen=True)
class AnswerPair:
    """Two answers to one question about an image.

    Attributes:
        id: the question's id.
        kind: kind of question, such as `conv`.
        question: the question.
        context: description of the image, which a judge reads instead of it.
        reference: the answer to compare with.
        candidate: the answer to rate; its content is unchecked.
    """

    id: str
    kind: str
    question: str
    context: str
    reference: str
    candidate: str


@dataclass(frozen=True)
class Review:
    """A judge's comparison of two answers.

    Attributes:
        id: the question's id.
        kind: kind of question.
        reference: rating of the reference from 1 to 10, -1 if the reply cannot be parsed.
        candidate: rating of the candidate, likewise.
        text: the whole reply.
        judge: its name; empty if a file does not say.
        order: which answer it read first; the ratings are of reference and candidate in either order.
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
        """Whether the reply contained two ratings."""
        return (self.reference, self.candidate) != UNPARSED


class Judge(Protocol):
    """Compares answers."""

    name: str

    def review(self, pairs: Sequence[AnswerPair], both_orders: bool = False) -> list[Review]:
        """Return a review of each pair, in their order; with `both_orders` two, one after the other.

        Raises:
            JudgeError: some could not be obtained.
        """
