"""A judge in a file of the user's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from lightning_c3l import extensions
from lightning_c3l.cli.main import main
from lightning_c3l.cli.parser import Parser
from lightning_c3l.evaluation.judging.base import Judge

NAME = "my_judge.WordOverlap"
# reference, answer, and 2 |shared| / (|said| + |true|) of the words that count
CASES = [
    ("A red square on the left.", "There is a red square on the left", 1.0),
    ("A red square on the left.", "a blue circle", 0.0),
    ("two red dogs", "red red cats", 2 * 1 / 6),
]


@pytest.fixture(scope="module", autouse=True)
def _files(written: Any, working_folder: Path) -> None:
    assert written("judge") == "my_judge"
    numbered = list(enumerate(CASES))
    questions = [{"question_id": n, "image": "0.png", "text": f"{n}?", "category": "conv"} for n, _ in numbered]
    references = [{"question_id": n, "text": one[0], "model_id": "truth"} for n, one in numbered]
    answers = [{"question_id": n, "text": one[1], "model_id": "small"} for n, one in numbered]
    (working_folder / "bench").mkdir()
    for name, rows in (
        ("bench/questions.jsonl", questions),
        ("bench/context.jsonl", [{"image": "0.png", "caption": "A picture."}]),
        ("bench/answers_gpt4.jsonl", references),
        ("answers.jsonl", answers),
    ):
        (working_folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_reviews_and_scores(working_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--questions", "bench", "--answers", "answers.jsonl", "--out", "reviews.jsonl", "--judge-class", NAME]
    assert main(["judge", *words]) == 0
    assert "3 reviews by word overlap" in capsys.readouterr().out
    reviews = [json.loads(line) for line in (working_folder / "reviews.jsonl").read_text().splitlines()]
    assert [one["tuple"] for one in reviews] == [pytest.approx([10.0, 1 + 9 * case[2]]) for case in CASES]
    assert main(["evaluate", "llava_w", "--questions", "bench", "--reviews", "reviews.jsonl", "--out", "e.json"]) == 0
    found = json.loads((working_folder / "e.json").read_text())
    expected = 100 * sum(1 + 9 * case[2] for case in CASES) / 30
    assert found["headline"]["value"] == pytest.approx(expected, abs=0.06)


def test_both_orders(working_folder: Path) -> None:
    words = ["--questions", "bench", "--answers", "answers.jsonl", "--out", "both.jsonl", "--judge-class", NAME]
    assert main(["judge", *words, "--both-orders"]) == 0
    reviews = [json.loads(line) for line in (working_folder / "both.jsonl").read_text().splitlines()]
    assert len(reviews) == 6


def test_experiment_files_name_it_by_its_class_path() -> None:
    parser = Parser()
    parser.add_argument("--judge", type=Judge | None)
    extensions.find_in_current_folder()
    found = parser.instantiate_classes(parser.parse_args(["--judge", NAME]))
    assert found.judge.name == "word overlap"
