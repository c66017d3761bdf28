"""Questions and answers, put together."""

from collections.abc import Sequence

import pytest

from lightning_c3l.evaluation.benchmarks.answers import AnswerFile, AnswerRow
from lightning_c3l.evaluation.benchmarks.base import Answer, Question, QuestionSet
from lightning_c3l.evaluation.judging.base import ToJudge
from lightning_c3l.evaluation.judging.pairs import pairs_of

QUESTIONS = tuple(
    Question(str(n), f"What is {n}?", context=f"Picture {n}.", reference=f"It is {n}.", categories={"kind": "conv"})
    for n in range(5)
)
ANSWERS = tuple(Answer(str(n), f"Maybe {n}") for n in range(5))


def put_together(questions: Sequence[Question], answers: Sequence[Answer], version: str = "") -> list[ToJudge]:
    rows = tuple(AnswerRow("", answer, Question(answer.id, ""), "") for answer in answers)
    return pairs_of(QuestionSet(tuple(questions), "0123", "asked"), AnswerFile(rows, "said", {}, version))


@pytest.mark.parametrize("version", ["", "0123"])
def test_in_the_order_of_the_questions(version: str) -> None:
    assert put_together(QUESTIONS[:2], ANSWERS[1::-1], version) == [
        ToJudge("0", "conv", "What is 0?", "Picture 0.", "It is 0.", "Maybe 0"),
        ToJudge("1", "conv", "What is 1?", "Picture 1.", "It is 1.", "Maybe 1"),
    ]


def test_an_answer_without_text_is_judged_as_nothing() -> None:
    [pair] = put_together(QUESTIONS[:1], [Answer("0", None, problem="no such picture")])
    assert pair.candidate == ""


@pytest.mark.parametrize(("text", "candidate"), [("<think>Is it 1?</think>\nIt is 0.", "It is 0."), ("<think>Is", "")])
def test_a_judge_reads_the_answer_without_its_reasoning(text: str, candidate: str) -> None:
    [pair] = put_together(QUESTIONS[:1], [Answer("0", text)])
    assert pair.candidate == candidate


@pytest.mark.parametrize(
    ("questions", "answers", "said"),
    [
        (QUESTIONS, [*ANSWERS, ANSWERS[3]], "said, for asked: 1 ids are answered several times: 3"),
        (QUESTIONS[:3], ANSWERS, "2 ids are not among the questions: 3, 4"),
        (QUESTIONS, [*ANSWERS, Answer("", "Maybe")], r"1 ids are not among the questions: \(no id\)"),
        (QUESTIONS, ANSWERS[:1], r"4 ids have no answer: 1, 2, 3, \.\.\."),
    ],
)
def test_what_does_not_belong_together(questions: list[Question], answers: list[Answer], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        put_together(questions, answers)


def test_another_version_of_the_questions() -> None:
    with pytest.raises(ValueError, match="said answers version 4567 of the questions, asked is 0123"):
        put_together(QUESTIONS, ANSWERS, "4567")
