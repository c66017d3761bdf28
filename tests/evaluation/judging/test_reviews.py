"""Questions paired with answers, and files of reviews."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_c3l.evaluation.benchmarks.answers import AnswerFile, AnswerRow
from lightning_c3l.evaluation.benchmarks.base import Answer, Question, QuestionSet
from lightning_c3l.evaluation.judging.base import AnswerPair, Review
from lightning_c3l.evaluation.judging.reviews import pair_answers, read_reviews, write_reviews

QUESTIONS = tuple(
    Question(str(n), f"What is {n}?", context=f"Picture {n}.", reference=f"It is {n}.", categories={"kind": "conv"})
    for n in range(5)
)
ANSWERS = tuple(Answer(str(n), f"Maybe {n}") for n in range(5))


def put_together(questions: Sequence[Question], answers: Sequence[Answer], version: str = "") -> list[AnswerPair]:
    rows = tuple(AnswerRow("", answer, Question(answer.id, ""), "") for answer in answers)
    return pair_answers(QuestionSet(tuple(questions), "0123", "asked"), AnswerFile(rows, "said", {}, version))


@pytest.mark.parametrize("version", ["", "0123"])
def test_in_the_order_of_the_questions(version: str) -> None:
    assert put_together(QUESTIONS[:2], ANSWERS[1::-1], version) == [
        AnswerPair("0", "conv", "What is 0?", "Picture 0.", "It is 0.", "Maybe 0"),
        AnswerPair("1", "conv", "What is 1?", "Picture 1.", "It is 1.", "Maybe 1"),
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
    with pytest.raises(ValueError, match="said answers version 4567 of the questions, asked is 0123; answer these"):
        put_together(QUESTIONS, ANSWERS, "4567")


REVIEW = Review("7", "conv", 8.0, 6.5, "8 6.5\nGood.\u2028Both \ud800.", "judge (here)")
ROW = {"question_id": 7, "category": "llava_bench_conv", "content": "8 6.5\nGood.", "tuple": [8, 6.5]}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    reviews = [
        REVIEW,
        replace(REVIEW, order="candidate first"),
        replace(REVIEW, id="8", reference=-1.0, candidate=-1.0),
    ]
    write_reviews(tmp_path / "reviews.jsonl", reviews)
    assert read_reviews(tmp_path / "reviews.jsonl") == reviews
    first = json.loads((tmp_path / "reviews.jsonl").read_text().split("\n")[0])
    assert first == {
        "question_id": "7",
        "category": "conv",
        "content": REVIEW.text,
        "tuple": [8.0, 6.5],
        "judge": "judge (here)",
        "order": "reference first",
    }


@pytest.mark.parametrize(("number", "score"), [(1, 72.8), (2, 72.7), (3, 72.1)])
def test_published_reviews(shared_data: Path, number: int, score: float) -> None:
    folder = shared_data / "llava-v1.5-answers" / "llava-bench-in-the-wild"
    reviews = read_reviews(folder / f"llava-v1.5-13b-eval{number}.jsonl")
    assert [review.id for review in reviews] == [str(number) for number in range(60)]
    assert {review.kind for review in reviews} == {"conv", "detail", "complex"}
    assert {(review.judge, review.order) for review in reviews} == {("", "reference first")}
    total = [sum(one.reference for one in reviews), sum(one.candidate for one in reviews)]
    assert round(100 * total[1] / total[0], 1) == score  # PROTOCOLS.md


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{broken", "line 3: "),
        ("[1]", "line 3: "),
        (json.dumps({**ROW, "question_id": None}), "record 2: no question_id"),
        (json.dumps({**ROW, "tuple": [8]}), "tuple is [8]"),
        (json.dumps({**ROW, "tuple": ["8", "9"]}), "tuple is ['8', '9']"),
        (json.dumps({**ROW, "tuple": [True, 9]}), "tuple is [True, 9]"),
        (json.dumps({**ROW, "tuple": [float("nan"), 9]}), "tuple is [nan, 9]"),
        (json.dumps({**ROW, "tuple": [-1, 9]}), "tuple is [-1, 9]"),
        (json.dumps({key: value for key, value in ROW.items() if key != "tuple"}), "tuple is None"),
        (json.dumps({**ROW, "order": "sideways"}), "order is 'sideways'"),
        (json.dumps({**ROW, "content": 3}), "content is 3"),
        (json.dumps({**ROW, "question_id": 6}), "record 2: question 6 is already in record 1"),
    ],
)
def test_errors_name_file_and_record(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "reviews.jsonl"
    path.write_text(json.dumps({**ROW, "question_id": 6}) + "\n\n" + line + "\n")
    with pytest.raises(ValueError) as caught:
        read_reviews(path)
    assert str(caught.value).startswith(f"{path}, ")
    assert said in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xff\xfe{}"])
def test_files_without_reviews(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "reviews.jsonl").write_bytes(data)
    with pytest.raises(ValueError, match=r"reviews\.jsonl"):
        read_reviews(tmp_path / "reviews.jsonl")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "reviews.jsonl"
    write_reviews(path, [REVIEW])
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_reviews(path, [REVIEW, replace(REVIEW, id="8", text=b"no text")])  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_reviews_of_llavas_first_script(tmp_path: Path) -> None:
    old = {"review_id": "r", "question_id": 3, "answer1_id": "a", "answer2_id": "b", "reviewer_id": "gpt-4-0328"}
    path = tmp_path / "reviews.jsonl"
    path.write_text(json.dumps({**old, "metadata": {}, "text": "8 6\nGood.", "score": [8, 6]}) + "\n")
    assert read_reviews(path) == [Review("3", "", 8.0, 6.0, "8 6\nGood.")]
    path.write_text(json.dumps({**old, "text": "8", "score": [8]}) + "\n")
    with pytest.raises(ValueError, match=r"reviews\.jsonl, record 1: score is \[8\]"):
        read_reviews(path)
