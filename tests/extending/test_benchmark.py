"""A benchmark in a file of the user's own: answered by an LVLM, and scored from files."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_c3l.cli.main import main
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.world import sample_scene

NAME = "my_bench.YesNoTable"
SHAPES = ("rings", "crosses")


@pytest.fixture(scope="module", autouse=True)
def questions(written: Any, working_folder: Path) -> Path:
    """Four questions about two scenes."""
    assert written("benchmark") == "my_bench"
    (working_folder / "pictures").mkdir()
    file = working_folder / "questions.csv"
    with file.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["id", "image", "question", "answer", "kind"])
        for number in range(4):
            scene, shape = sample_scene(number // 2, 0.2), ("ring", "cross")[number % 2]
            draw(scene).save(working_folder / "pictures" / f"{number // 2}.png")
            truth = "Yes" if shape in scene.things else "no"
            text = f"Does the picture show {SHAPES[number % 2]}?"
            table.writerow([f"q{number}", f"{number // 2}.png", text, truth, shape])
    return file


def test_figures_from_an_answer_file(working_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader((working_folder / "questions.csv").open()))
    # the first two right, the third wrong, the last unreadable
    right = [row["answer"].lower() for row in rows]
    said = [f"{right[0].title()}, it does.", right[1], {"yes": "no", "no": "yes"}[right[2]], "Perhaps"]
    answers = [{"question_id": row["id"], "text": text} for row, text in zip(rows, said, strict=True)]
    (working_folder / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in answers))
    words = ["--questions", "questions.csv", "--answers", "a.jsonl", "--against", "a.jsonl", "--out", "a.json"]
    assert main(["evaluate", NAME, *words]) == 0
    assert "headline (accuracy)" in capsys.readouterr().err
    found = json.loads((working_folder / "a.json").read_text())
    assert found["headline"]["metric"] == "test/yes_no_table_accuracy"
    assert found["headline"]["value"] == 0.5
    figures = found["protocols"]["first_word"]
    assert (figures["n"], figures["parse_failures"]) == (4, 1)
    assert figures["tables"]["kind"] == {"ring": {"accuracy": 0.5}, "cross": {"accuracy": 0.5}}
    assert figures["others"]["against"]["difference"] == 0


def test_an_lvlm_is_tested_with_it(working_folder: Path) -> None:
    lvlm = {"class_path": "HuggingFaceLVLM", "init_args": {"path": "shipped:scenes", "lora": None}}
    config = {
        "run": {"name": "bench"},
        "model": {"class_path": "EvaluationModule", "init_args": {"lvlm": lvlm, "max_new_tokens": 8}},
        "data": {
            "class_path": "BenchmarkDataModule",
            "init_args": {"benchmark": NAME, "questions": "questions.csv", "images": "pictures", "num_workers": 1},
        },
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
    }
    (working_folder / "my_test.yaml").write_text(yaml.safe_dump(config))
    assert main(["test", "--config", "my_test.yaml", "--run.root", "runs"]) == 0
    folder = working_folder / "runs" / "bench" / "version_0"
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in answers] == [f"{row['question']}\nAnswer yes or no." for row in answers]
    found = json.loads((folder / "evaluation.json").read_text())
    words = [(row["text"].split() or [""])[0].strip(".,").lower() for row in answers]
    share = sum(word == row["truth"] for word, row in zip(words, answers, strict=True)) / 4
    assert found["headline"]["value"] == pytest.approx(share)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["evaluation"]["test/yes_no_table_accuracy"] == pytest.approx(share)
    # the rows carry all that scoring needs
    assert main(["evaluate", NAME, "--answers", str(folder / "answers.jsonl")]) == 0


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "class Own: name = 'own'",
            "cannot be used as a benchmark: write a class that derives from ScoredBenchmark of",
        ),
        (
            "class Own(ScoredBenchmark): name, protocols = 'pope', ('a',)",
            "cannot be used as a benchmark: it needs a `name` in letters that no other",
        ),
        (
            "class Own(ScoredBenchmark):\n  def __init__(self, path): ...",
            "cannot be used as a benchmark: it must take no options",
        ),
    ],
)
def test_what_is_no_benchmark(code: str, said: str, working_folder: Path, request: pytest.FixtureRequest) -> None:
    name = f"odd_{request.node.callspec.indices['code']}"
    start = "from lightning_c3l.evaluation.benchmarks import ScoredBenchmark\n"
    (working_folder / f"{name}.py").write_text(start + code + "\n")
    with pytest.raises(ValueError, match=f"data.benchmark {name}.Own: {said}"):
        benchmarks.choose("data.benchmark", f"{name}.Own")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("return 0.5", "score returned a float, expected a ProtocolScore"),
        (
            "return replace(super().score(pairs, protocol), right=np.ones(3, bool))",
            "score returned `right` of 3 values, expected 4, one a question",
        ),
    ],
)
def test_a_score_that_is_none_is_said(
    change: str, said: str, working_folder: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"wrong_{request.node.callspec.indices['change']}"
    start = "from dataclasses import replace\nimport numpy as np\nfrom my_bench import YesNoTable\n"
    code = f"class Own(YesNoTable):\n  def score(self, pairs, protocol):\n    {change}\n"
    (working_folder / f"{name}.py").write_text(start + code)
    rows = [{"question_id": f"q{number}", "text": "yes"} for number in range(4)]
    (working_folder / "yes.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert main(["evaluate", f"{name}.Own", "--questions", "questions.csv", "--answers", "yes.jsonl"]) == 2
    assert f"error: benchmark yes_no_table, protocol first_word: {said}" in capsys.readouterr().err


def test_an_answer_file_names_no_code(working_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows may say what they like of their benchmark; only the word of the command is imported."""
    (working_folder / "theirs.py").write_text("raise SystemExit('imported')\n")
    row = {"question_id": "q0", "text": "yes", "truth": "yes", "question": "?", "benchmark": "theirs.Own"}
    row |= {"judge": "theirs.Own", "model_id": "theirs.Own", "class_path": "theirs.Own"}
    (working_folder / "theirs.jsonl").write_text(json.dumps(row) + "\n")
    assert main(["evaluate", NAME, "--answers", "theirs.jsonl"]) == 0
    assert main(["evaluate", "seed", "--answers", "theirs.jsonl"]) == 2
    assert "imported" not in capsys.readouterr().err
