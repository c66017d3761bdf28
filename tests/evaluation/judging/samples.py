"""Pairs to judge."""

from lightning_c3l.evaluation.judging.base import ToJudge


def pair(number: int, candidate: str = "a cat") -> ToJudge:
    """Two answers to `question N?`."""
    return ToJudge(f"q{number}", "conv", f"question {number}?", "An animal on a mat.", "a dog", candidate)


def pairs(count: int) -> list[ToJudge]:
    """Pairs with the numbers from 1."""
    return [pair(number) for number in range(1, count + 1)]
