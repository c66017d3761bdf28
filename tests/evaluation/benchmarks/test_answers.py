"""Answer files of all tools: what is read of them, and which rows are refused."""

import hashlib
import math
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from lightning_c3l.evaluation.benchmarks import load, load_scored
from lightning_c3l.evaluation.benchmarks.answers import answer_row, read_answers
from lightning_c3l.evaluation.benchmarks.base import Answer
from lightning_c3l.evaluation.benchmarks.evaluation import evaluate
from lightning_c3l.evaluation.benchmarks.matching import match_answers
from tests.evaluation.benchmarks import files


def test_answers_that_carry_truth_and_joined_splits_need_no_questions(tmp_path: Path) -> None:
    rows = [
        {
            "index": 0,
            "question": "Dog?",
            "answer": "Yes",
            "category": "adversarial,popular,random",
            "prediction": "Yes.",
        },
        {"index": 1, "question": "Cup?", "answer": "No", "category": "random", "prediction": ""},
    ]
    for path in (files.write_table(tmp_path / "a.tsv", rows), files.write_table(tmp_path / "a.csv", rows, ",")):
        found = read_answers([path], "pope")
        assert found.carried is not None
        assert [(one.truth, one.splits) for one in found.carried.questions] == [
            ("yes", ("random", "popular", "adversarial")),
            ("no", ("random",)),
        ]
        matched = match_answers(load_scored("pope"), None, found)
        assert [answer.text for _, answer in matched.pairs] == ["Yes.", ""]
        assert matched.counts["empty"] == 1


def test_our_own_rows_come_back_as_they_were(tmp_path: Path) -> None:
    questions = load("seed").read_questions([files.seed(tmp_path / "q.json")])
    answers = [
        Answer("11", "A"),
        Answer("12", None, (2.0, 0.5, 1.0, 3.0)),
        Answer("v3", None, problem="no picture"),
    ]
    rows = [
        answer_row(question, answer, "P", "tiny", True, questions.digest)
        for question, answer in zip(questions.questions, answers, strict=True)
    ]
    found = read_answers([files.write_lines(tmp_path / "answers.jsonl", rows)], "seed")
    assert found.answers == tuple(answers)
    assert (found.model, found.blind, found.version) == ("tiny", True, questions.digest)
    assert found.carried is not None
    assert found.carried.questions == questions.questions
    assert found.carried.digest == questions.digest
    assert [pair[1] for pair in match_answers(load_scored("seed"), questions, found).pairs] == answers
    assert (
        match_answers(load_scored("seed"), None, found).pairs
        == match_answers(load_scored("seed"), questions, found).pairs
    )


@pytest.mark.parametrize("name", ["pope", "mmbench"])
def test_our_own_rows_of_the_other_benchmarks_carry_their_questions(name: str, tmp_path: Path) -> None:
    path = files.pope(tmp_path / "q") if name == "pope" else files.write_table(tmp_path / "q.tsv", files.mmbench_rows())
    questions = load(name).read_questions([path])
    rows = [
        answer_row(one, Answer(one.id, "B"), load(name).prompt(one), "m", False, questions.digest)
        for one in questions.questions
    ]
    found = read_answers([files.write_lines(tmp_path / "answers.jsonl", rows)], name)
    assert found.carried is not None
    for carried, asked in zip(found.carried.questions, questions.questions, strict=True):
        for part in ("id", "truth", "options", "splits", "categories", "text"):
            assert getattr(carried, part) == (() if (name, part) == ("mmbench", "splits") else getattr(asked, part))


def test_workbooks_give_empty_cells_and_numbers(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in [
        ("index", "question", "A", "B", "C", "D", "answer", "prediction"),
        (1.0, "How many?", 1, 2, None, "nan", "A", None),
        (1000001, "How many?", 2, 1, None, None, "B", 2),
    ]:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    found = read_answers([tmp_path / "a.xlsx"], "mmbench")
    assert [row.answer for row in found.rows] == [Answer("1", ""), Answer("1000001", "2")]
    assert [row.question.options for row in found.rows] == [{"A": "1", "B": "2"}, {"A": "2", "B": "1"}]
    assert [row.question.truth for row in found.rows] == ["A", "B"]


def test_the_published_form_of_seed_has_letters_alone(tmp_path: Path) -> None:
    rows = [
        {"question_id": "7", "prediction": "A", "gt_answer": "B"},
        {"question_id": "v7", "prediction": "C", "gt_answer": "C"},
    ]
    found = read_answers([files.write_lines(tmp_path / "a", rows)], "seed")
    assert found.carried is not None
    assert [dict(one.options) for one in found.carried.questions] == [dict.fromkeys("ABCD", "")] * 2
    assert [one.categories for one in found.carried.questions] == [{"data_type": "image"}, {"data_type": "video"}]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"question_id": 1}], "record 1: no answer: none of"),
        ([{"question_id": 1, "losses": ["x"]}], "record 1: losses must be a list of numbers"),
        ([{"question_id": 1, "losses": 3}], "record 1: losses must be a list of numbers"),
        ([{"question_id": 1, "losses": [10**400]}], "record 1: losses must be a list of numbers"),
        ([{"question_id": 1, "text": "a", "model_id": name} for name in ("x", "y")], "several models .'x', 'y'"),
        ([{"question_id": 1, "text": "a", "questions": name} for name in ("x", "y")], "several versions"),
        (
            [{"question_id": 1, "text": "a", "blind": value} for value in (True, False)],
            "with and without images",
        ),
    ],
)
def test_broken_rows_are_named(rows: list[dict[str, Any]], says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        read_answers([files.write_lines(tmp_path / "a.jsonl", rows)], "seed")


def test_losses_that_are_no_numbers_stay_out_of_the_choice(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question_id": "1", "text": null, "losses": [NaN, null, 1, 2.5]}\n')
    losses = read_answers([path], "seed").rows[0].answer.losses
    assert losses is not None
    assert [math.isnan(value) for value in losses] == [True, True, False, False]


def test_files_are_told_apart_by_their_bytes(tmp_path: Path) -> None:
    one = files.write_lines(tmp_path / "a.jsonl", [{"question_id": "1", "text": "A"}])
    found = read_answers([one], "seed")
    assert found.hashes == {str(one): hashlib.sha256(one.read_bytes()).hexdigest()}


@pytest.mark.parametrize("change", [{"question": "R?"}, {"choice_b": "three"}, {"answer": "B"}])
def test_an_id_that_two_questions_of_an_answer_file_share(change: dict[str, str], tmp_path: Path) -> None:
    row = {"question_id": 7, "question": "Q?", "choice_a": "one", "choice_b": "two", "answer": "A", "prediction": "A"}
    again = files.write_lines(tmp_path / "again", [row, {**row, "prediction": "B"}])
    own = read_answers([again], "seed").carried
    assert own is not None
    assert [one.id for one in own.questions] == ["7"]
    odd = files.write_lines(tmp_path / "odd", [row, {**row, **change}])
    with pytest.raises(ValueError, match="odd, record 2: question id '7' is used twice, for different questions"):
        read_answers([odd], "seed")


@pytest.mark.parametrize("name", ["pope", "seed", "mmbench"])
@pytest.mark.parametrize("number", [2**63, int("9" * 4000), "9" * 5000])
def test_ids_beyond_all_are_named(name: str, number: int | str, tmp_path: Path) -> None:
    path = files.write_lines(tmp_path / "a.jsonl", [{"index": number, "text": "No"}])
    with pytest.raises(ValueError, match=r"a\.jsonl, record 1: the id '9.* is too large"):
        read_answers([path], name)


def test_a_choice_none_that_pandas_dropped_is_a_choice(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in [
        ("index", "question", "A", "B", "C", "D", "answer", "category", "prediction"),
        (1, "How many?", "One", "Two", None, "Three", "C", "Instances Counting", "C. None"),
        (2, "How many?", "One", None, "Two", "Three", "B", "Instances Counting", "None"),
        (3, "Which color?", "Red", "Blue", None, "White", "A", "Scene Understanding", "None"),
    ]:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    found = evaluate(load("seed"), None, read_answers([tmp_path / "a.xlsx"], "seed"))
    assert (found.headline, found.value, found.protocols["strict"].parse_failures) == (
        "strict",
        pytest.approx(2 / 3),
        0,
    )
    table = found.protocols["strict"].tables["question_type"]
    assert {name: row["accuracy"] for name, row in table.items()} == {
        "Instances Counting": 1.0,
        "Scene Understanding": 0.0,
    }


def test_a_table_without_an_answer_says_which_columns_it_has(tmp_path: Path) -> None:
    path = files.write_table(tmp_path / "a.csv", [{"question_id": 1, "what it said": "A"}], ",")
    with pytest.raises(ValueError, match=r"a\.csv, record 1: no answer: .* fields 'question_id', 'what_it_said'"):
        read_answers([path], "seed")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_capital_headers_and_semicolons(delimiter: str, tmp_path: Path) -> None:
    rows = [
        {"Question ID": 7, "Question": "Which, of two?", "A": "one; two", "B": "x", "Answer": "B", "Prediction": "A"}
    ]
    found = read_answers([files.write_table(tmp_path / "a.csv", rows, delimiter)], "mmbench")
    assert [(row.answer.id, row.answer.text) for row in found.rows] == [("7", "A")]
    assert dict(found.rows[0].question.options) == {"A": "one; two", "B": "x"}
    assert (found.rows[0].question.text, found.rows[0].question.truth) == ("Which, of two?", "B")
