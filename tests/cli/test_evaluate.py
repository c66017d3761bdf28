"""The verb `evaluate`: figures to one stream, tables to the other."""

import hashlib
import json
from pathlib import Path

import pytest

from lightning_c3l.cli.evaluate import main
from tests.evaluation.benchmarks import files


def test_the_published_pope_figures_as_json(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = shared_data / "pope" / "coco-20230810"
    answers = shared_data / "llava-v1.5-answers" / "pope" / "llava-v1.5-13b.jsonl"
    out = tmp_path / "out.json"
    arguments = ["pope", "--questions", str(questions), "--answers", str(answers), "--json", "--out", str(out)]
    assert main([*arguments, "--protocol", "reference"]) == 0
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert json.loads(out.read_text()) == document
    assert list(document["protocols"]) == ["reference"]
    table = document["protocols"]["reference"]["tables"]["split"]
    assert [round(table[split]["f1"], 5) for split in ("random", "popular", "adversarial")] == [
        0.87136,
        0.86246,
        0.84459,
    ]
    assert document["files"]["answers"] == {str(answers): hashlib.sha256(answers.read_bytes()).hexdigest()}
    assert document["files"]["questions"] == {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in questions.iterdir()
    }
    assert (document["model"], document["headline"]["n"]) == ("llava-v1.5-13b", 8910)
    assert "87.136" in shown.err


def test_without_json_standard_output_stays_empty(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = shared_data / "llava-v1.5-answers" / "mmbench" / "mmbench_dev_20230712.xlsx"
    assert main(["mmbench", "--answers", str(answers)]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "67.687" in shown.err


def test_reviews_with_questions_answers_and_a_blind_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = files.llava_w(tmp_path / "bench")
    reviews = [{"question_id": n, "category": "conv", "content": "", "tuple": [8, 4 + n]} for n in range(3)]
    path = files.write_lines(tmp_path / "reviews.jsonl", reviews)
    answers = files.write_lines(
        tmp_path / "a.jsonl", [{"question_id": n, "text": "x", "model_id": "m"} for n in range(3)]
    )
    more = ["--reviews", str(path), "--blind", str(path), "--answers", str(answers), "--json"]
    assert main(["llava_w", "--questions", str(folder), *more]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["headline"]["value"] == pytest.approx(100 * 15 / 24)
    assert (document["model"], list(document["files"])) == ("m", ["answers", "reviews", "blind", "questions"])
    assert len(document["files"]["questions"]) == 3
    assert document["protocols"]["strict"]["others"]["blind"]["difference"] == 0


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    some = str(files.write_lines(tmp_path / "a.jsonl", [{"question_id": 1, "text": "No"}]))
    for arguments, says in (
        (["pope"], "--answers"),
        (["pope", "--answers", some, "--reviews", some], "--reviews"),
        (["pope", "--answers", some], "--questions"),
        (["llava_w", "--answers", some], "--reviews"),
        (["vqa"], "benchmark must be one of pope, seed"),
    ):
        with pytest.raises(ValueError, match=says):
            main(arguments)


@pytest.mark.parametrize("role", ["--answers", "--reviews", "--blind", "--against", "--questions"])
def test_what_is_read_is_never_written_over(role: str, tmp_path: Path) -> None:
    path = tmp_path / "no json yet"
    path.write_text("kept")
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(ValueError, match=r"--out .*link is one of the files that are read"):
        main(["seed", role, str(path), "--out", str(tmp_path / "link")])
    assert path.read_text() == "kept"


def test_files_of_a_question_folder_are_not_written_over(tmp_path: Path) -> None:
    folder = files.pope(tmp_path / "questions")
    answers = files.write_lines(tmp_path / "a.jsonl", [{"question_id": "random/1", "text": "No"}])
    arguments = ["pope", "--questions", str(folder), "--answers", str(answers), "--partial", "--out"]
    with pytest.raises(ValueError, match="is one of the files that are read"):
        main([*arguments, str(folder / "coco_pope_random.json")])
    assert main([*arguments, str(folder / "figures.json")]) == 0
