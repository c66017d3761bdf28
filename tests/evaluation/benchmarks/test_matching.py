"""Answers joined with their questions, and every way in which the two may not fit."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.evaluation.benchmarks import load, load_scored
from lightning_c3l.evaluation.benchmarks.answers import AnswerFile, read_answers
from lightning_c3l.evaluation.benchmarks.base import Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.evaluation import evaluate
from lightning_c3l.evaluation.benchmarks.matching import MatchedAnswers, match_answers
from tests.evaluation.benchmarks import files

OFFSETS = {"adversarial": 0, "random": 10_000_000, "popular": 20_000_000}


@pytest.fixture
def pope(tmp_path: Path) -> QuestionSet:
    return load("pope").read_questions([files.pope(tmp_path / "questions")])


def _texts(matched: MatchedAnswers) -> dict[str, str | None]:
    return {question.id: answer.text for question, answer in matched.pairs}


def _number(question: Question) -> int:
    return int(question.id.split("/")[1])


def _says(question: Question) -> str:
    """An answer that no other question has, so that a wrong join shows."""
    return f"No, said of {question.id}"


def _pope_file(folder: Path, row: Callable[[Question], Mapping[str, Any]], questions: QuestionSet) -> AnswerFile:
    return read_answers([files.write_lines(folder / "answers.jsonl", map(row, questions.questions))], "pope")


@pytest.mark.parametrize(
    "row",
    [
        lambda q: {"question_id": q.id, "text": _says(q)},
        lambda q: {"question_id": OFFSETS[q.splits[0]] + _number(q), "text": _says(q), "prompt": q.text + "\nShort."},
        lambda q: {"question_id": str(OFFSETS[q.splits[0]] + _number(q)) + ".0", "text": _says(q)},
        lambda q: {"question_id": _number(q), "category": q.splits[0], "prediction": _says(q), "answer": q.truth},
        lambda q: {"index": _number(q), "split": q.splits[0].title(), "response": _says(q)},
        lambda q: (
            {"doc_id": 5, "doc": {"question_id": _number(q), "category": q.splits[0], "question": q.text}}
            | {"target": q.truth, "filtered_resps": [_says(q)], "resps": [["x"]]}
        ),
        lambda q: {
            "question_id": _number(q),
            "split": q.splits[0],
            "text": q.text,
            "label": q.truth,
            "answer": _says(q),
        },
    ],
)
def test_pope_answers_are_joined_by_id(
    row: Callable[[Question], Mapping[str, Any]], pope: QuestionSet, tmp_path: Path
) -> None:
    matched = match_answers(load_scored("pope"), pope, _pope_file(tmp_path, row, pope))
    assert _texts(matched) == {question.id: _says(question) for question in pope.questions}


def test_order_does_not_matter_where_there_are_ids(pope: QuestionSet, tmp_path: Path) -> None:
    rows = [{"question_id": question.id, "text": _says(question)} for question in reversed(pope.questions)]
    found = read_answers([files.write_lines(tmp_path / "a", rows)], "pope")
    matched = match_answers(load_scored("pope"), pope, found)
    assert list(_texts(matched).items()) == [(question.id, _says(question)) for question in pope.questions]


def _split_files(folder: Path, pope: QuestionSet, row: Callable[[Question], Mapping[str, Any]]) -> list[Path]:
    return [
        files.write_lines(folder / f"{split}_answers.json", [row(q) for q in pope.questions if q.splits == (split,)])
        for split in files.POPE
    ]


def test_one_file_a_split_with_ids_and_in_the_official_form_without(pope: QuestionSet, tmp_path: Path) -> None:
    for row in (
        lambda q: {"question_id": _number(q), "text": _says(q)},
        lambda q: {"question": q.text, "answer": _says(q)},
    ):
        found = read_answers(_split_files(tmp_path, pope, row), "pope")
        assert _texts(match_answers(load_scored("pope"), pope, found)) == {q.id: _says(q) for q in pope.questions}


def test_without_ids_the_texts_must_agree_in_order(pope: QuestionSet, tmp_path: Path) -> None:
    rows = [{"question": text, "answer": "No"} for text, _ in files.POPE["adversarial"]]
    for odd, says in (
        ([rows[0], rows[2], rows[1]], "record 2.*'Is there a cat.', not 'Is there a bus.'"),
        ([*rows, rows[0]], "record 4: more rows"),
    ):
        found = read_answers([files.write_lines(tmp_path / "adversarial.json", odd)], "pope")
        with pytest.raises(ValueError, match=says):
            match_answers(load_scored("pope"), pope, found)
    found = read_answers([files.write_lines(tmp_path / "mine.json", rows)], "pope")
    with pytest.raises(ValueError, match="neither a question_id nor a split"):
        match_answers(load_scored("pope"), pope, found)
    found = read_answers([files.write_lines(tmp_path / "mine.json", [*rows, {"question_id": 1, "text": "No"}])], "pope")
    with pytest.raises(ValueError, match="record 1: no question_id"):
        match_answers(load_scored("pope"), pope, found)


def test_numbers_of_one_split_alone_need_no_offset(tmp_path: Path) -> None:
    folder = files.pope(tmp_path / "q")
    only = load("pope").read_questions([folder / "coco_pope_random.json"])
    plain = read_answers(
        [files.write_lines(tmp_path / "a", [{"question_id": n, "text": "No"} for n in (1, 2)])], "pope"
    )
    assert set(_texts(match_answers(load_scored("pope"), only, plain))) == {"random/1", "random/2"}
    # LLaVA's numbers over all splits: 1 is adversarial, and not taken for random
    rows = [{"question_id": n, "text": "No"} for n in (1, 10_000_001, 10_000_002)]
    with pytest.raises(ValueError, match=r"adversarial/1.*which is not in .*another version"):
        match_answers(load_scored("pope"), only, read_answers([files.write_lines(tmp_path / "b", rows)], "pope"))


def test_a_mapping_of_ids_to_texts(pope: QuestionSet, tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({question.id: _says(question) for question in pope.questions}))
    assert (
        _texts(match_answers(load_scored("pope"), pope, read_answers([path], "pope")))["popular/2"]
        == "No, said of popular/2"
    )


def test_the_first_of_several_answers_counts(pope: QuestionSet, tmp_path: Path) -> None:
    rows = [{"question_id": question.id, "text": "No"} for question in pope.questions]
    again = [{"question_id": "random/1", "text": "No "}, {"question_id": "random/2", "text": "Yes"}]
    matched = match_answers(
        load_scored("pope"), pope, read_answers([files.write_lines(tmp_path / "a", rows + again)], "pope")
    )
    assert set(_texts(matched).values()) == {"No"}
    assert (matched.counts["repeated_same"], matched.counts["repeated_contradicting"]) == (1, 1)
    assert any("2 rows answer a question again, 1 of them differently" in note for note in matched.notes)


def test_unknown_and_missing_questions_are_named(pope: QuestionSet, tmp_path: Path) -> None:
    rows = [{"question_id": question.id, "text": "No"} for question in pope.questions]
    odd = files.write_lines(tmp_path / "odd.jsonl", [*rows, {"question_id": "random/77", "text": "No"}])
    with pytest.raises(ValueError, match=r"odd\.jsonl answers question 'random/77' \(and 0 more\), .*coco_pope"):
        match_answers(load_scored("pope"), pope, read_answers([odd], "pope"))
    short = read_answers([files.write_lines(tmp_path / "short.jsonl", rows[2:])], "pope")
    with pytest.raises(ValueError, match=r"2 of 7 questions of .* have no answer, the first is '.*/1'; --partial"):
        match_answers(load_scored("pope"), pope, short)
    matched = match_answers(load_scored("pope"), pope, short, partial=True)
    assert [question.id for question, _ in matched.pairs] == [row["question_id"] for row in rows[2:]]
    assert matched.counts["missing"] == 2


def test_partial_takes_whole_base_questions_alone(tmp_path: Path) -> None:
    questions = load("mmbench").read_questions([files.write_table(tmp_path / "q.tsv", files.mmbench_rows())])
    rows = [{"index": one.id, "prediction": "A"} for one in questions.questions if one.id != "2000001"]
    found = read_answers([files.write_lines(tmp_path / "a", rows)], "mmbench")
    matched = match_answers(load_scored("mmbench"), questions, found, partial=True)
    assert [question.id for question, _ in matched.pairs] == ["5", "1000005"]
    only = read_answers([files.write_lines(tmp_path / "a", rows[:1])], "mmbench")
    with pytest.raises(ValueError, match="nothing left to score"):
        match_answers(load_scored("mmbench"), questions, only, partial=True)


def test_another_version_of_the_questions_is_named(pope: QuestionSet, tmp_path: Path) -> None:
    def named(row: Callable[[Question], Mapping[str, Any]], says: str) -> None:
        found = _pope_file(tmp_path, row, pope)
        with pytest.raises(ValueError, match=says):
            match_answers(load_scored("pope"), pope, found)

    named(
        lambda q: {"question_id": q.id, "text": "No", "questions": "feed"}, f"version feed .* is {pope.digest}; answer"
    )
    named(lambda q: {"question_id": q.id, "prediction": "No", "question": "Is there a dog?"}, "another version")
    named(
        lambda q: {"question_id": q.id, "text": "No", "prompt": "Is there a dog? Answer."}, "'Is there a cat.'.*another"
    )
    named(lambda q: {"question_id": q.id, "prediction": "No", "answer": "yes"}, "truth yes.*truth no.*another version")


def test_prompts_may_be_worded_anew(pope: QuestionSet, tmp_path: Path) -> None:
    found = _pope_file(tmp_path, lambda q: {"question_id": q.id, "text": "No", "prompt": "Tell me."}, pope)
    assert any("reworded" in note for note in match_answers(load_scored("pope"), pope, found).notes)


def test_questions_given_as_answers_are_refused(pope: QuestionSet, tmp_path: Path) -> None:
    folder = files.pope(tmp_path / "again")
    found = read_answers(sorted(folder.iterdir()), "pope")
    for questions in (pope, None):
        with pytest.raises(ValueError, match="read as answers contain the questions"):
            match_answers(load_scored("pope"), questions, found)


def test_without_questions_the_rows_must_say_enough(tmp_path: Path) -> None:
    for name, row in (
        ("pope", {"question_id": 1, "text": "No", "label": "no"}),
        ("seed", {"question_id": 1, "text": "A"}),
        ("mmbench", {"index": 1, "prediction": "A", "answer": "A"}),
    ):
        found = read_answers([files.write_lines(tmp_path / "mine.jsonl", [row])], name)
        with pytest.raises(ValueError, match=r"not every row contains .*--questions"):
            match_answers(load_scored(name), None, found)


def test_numbers_without_a_split_are_not_guessed(pope: QuestionSet, tmp_path: Path) -> None:
    rows = [{"question_id": n, "text": "No"} for n in (1, 2)]
    with pytest.raises(ValueError, match=r"mine\.jsonl: question '1': no split; use one file per split"):
        match_answers(
            load_scored("pope"), pope, read_answers([files.write_lines(tmp_path / "mine.jsonl", rows)], "pope"), True
        )
    named = read_answers([files.write_lines(tmp_path / "mine_random.jsonl", rows)], "pope")
    assert set(_texts(match_answers(load_scored("pope"), pope, named, True))) == {"random/1", "random/2"}


def test_a_number_that_the_only_split_has_not_is_of_that_split(tmp_path: Path) -> None:
    only = load("pope").read_questions([files.pope(tmp_path / "q") / "coco_pope_random.json"])
    found = read_answers([files.write_lines(tmp_path / "a", [{"question_id": 9, "text": "No"}])], "pope")
    with pytest.raises(ValueError, match=r"random/9.*which is not in"):
        match_answers(load_scored("pope"), only, found)


def test_a_rival_that_answers_another_version_needs_the_questions(tmp_path: Path) -> None:
    tool = {"question_id": 7, "question": "Q?", "choice_a": "one", "choice_b": "two", "answer": "A", "prediction": "A"}
    ours = {"question_id": 7, "text": "A", "truth": "A", "options": {"A": "one", "B": "two"}, "questions": "feed"}
    answers, against = (
        read_answers([files.write_lines(tmp_path / name, [row])], "seed") for name, row in (("t", tool), ("o", ours))
    )
    with pytest.raises(ValueError, match=r"answers version feed .*--questions"):
        evaluate(load("seed"), None, answers, against=against)


@pytest.mark.parametrize(
    ("name", "row", "says"),
    [
        (
            "seed",
            {"question_id": 2, "prediction": "A", "answer": "E"},
            "the right answer is 'E', none of the options A",
        ),
        ("seed", {"question_id": 2, "prediction": "A"}, r"no right answer \(answer\)"),
        ("mmbench", {"index": 2, "A": "x", "B": "", "answer": "B", "prediction": "A"}, "'B', none of the options A;"),
        ("mmbench", {"index": "v2", "A": "x", "answer": "A", "prediction": "A"}, "index 'v2' is not a whole number"),
        ("pope", {"index": 2, "answer": "yes", "prediction": "No"}, r"no split \(category\)"),
        ("pope", {"answer": "yes", "prediction": "No", "category": "random"}, "no question_id"),
    ],
)
def test_the_row_that_lacks_something_is_named(name: str, row: dict[str, Any], says: str, tmp_path: Path) -> None:
    good = {"question_id": 1, "index": 1, "A": "x", "prediction": "A", "answer": "yes" if name == "pope" else "A"}
    good |= {"category": "random"} if name == "pope" else {}
    found = read_answers([files.write_lines(tmp_path / "mine.jsonl", [good, row])], name)
    with pytest.raises(ValueError, match=rf"mine\.jsonl: not every row contains .*mine\.jsonl, record 2: .*{says}"):
        match_answers(load_scored(name), None, found)


def test_headers_that_small_letters_would_make_one_stay_as_they_are(tmp_path: Path) -> None:
    path = files.write_lines(tmp_path / "a", [{"question_id": 1, "Answer": "A", "answer": "B", "ANSWER": "C"}])
    assert [answer.text for answer in read_answers([path], "seed").answers] == ["B"]
