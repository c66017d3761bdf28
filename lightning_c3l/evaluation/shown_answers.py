"""Answers to a benchmark's questions as a person reads them: a sample, and which of them are right."""

from collections.abc import Sequence

from lightning_c3l.evaluation.benchmarks.base import Answer, Pair, Question, ScoredBenchmark, score_pairs
from lightning_c3l.functional.random_streams import stream

_MOST = 200


def some_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    """At most 200 questions with their answers, drawn at random, the same in every run on the same questions."""
    chosen = stream("wandb", len(pairs)).sample(range(len(pairs)), min(_MOST, len(pairs)))
    return [pairs[index] for index in sorted(chosen)]


def right_answers(
    benchmark: ScoredBenchmark, pairs: Sequence[Pair], shown: Sequence[Pair], protocol: str
) -> list[bool | None]:
    """Whether the shown answers are right; None if nothing is right or wrong.

    All are scored together where each question is a unit: of one answer alone a figure need not exist, such as the mean
    of the accuracies on yes and on no.
    """
    ids = [question.id for question, _ in pairs]
    if len(set(ids)) == len(ids) and ids == [benchmark.unit(question) for question, _ in pairs]:
        right = score_pairs(benchmark, pairs, protocol).right
        right_of = {} if right is None else dict(zip(ids, map(bool, right), strict=True))
        return [right_of.get(question.id) for question, _ in shown]
    alone = [score_pairs(benchmark, [pair], protocol).right for pair in shown]
    return [None if right is None else bool(right[0]) for right in alone]


def said(question: Question, answer: Answer) -> str | None:
    """Why there is no answer, or its text, or without a text the letter of the option with the lowest loss."""
    likeliest = min(zip(answer.losses, question.options, strict=True))[1] if answer.losses else None
    return answer.problem or answer.text or likeliest
