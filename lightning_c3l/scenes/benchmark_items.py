"""What a world of scenes has for its benchmarks, beside yes/no questions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """A question whose options are drawn from the answers that there are.

    Attributes:
        wordings: of the question.
        truth: the true answer.
        usual: the prior's answer, which does not depend on the image.
        answers: all that can be offered, these two among them.
    """

    wordings: tuple[str, ...]
    truth: str
    usual: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class OpenQuestion:
    """A question that is answered freely.

    Attributes:
        kind: `conv`, `detail` or `complex`, as in LLaVA-Bench.
        question: the question.
        reference: the true answer.
    """

    kind: str
    question: str
    reference: str
