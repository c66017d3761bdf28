"""Pairs to judge."""

from lightning_c3l.evaluation.judging.base import AnswerPair


def pair(number: int, candidate: str = "a cat") -> AnswerPair:
    """Two answers to `question N?`."""
    return AnswerPair(f"q{number}", "conv", f"question {number}?", "An animal on a mat.", "a dog", candidate)


def pairs(count: int) -> list[AnswerPair]:
    """Pairs with the numbers from 1."""
    return [pair(number) for number in range(1, count + 1)]
