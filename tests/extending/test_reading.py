"""A reading of S(I2C) in a file of the user's own: scored by, selected by, and rounds made by it."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_c3l.cli.main import main
from lightning_c3l.functional.checks import masked_mean
from lightning_c3l.functional.i2c import reading_function
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.world import sample_scene

NAME = "my_reading.surprise"


@pytest.fixture(scope="module", autouse=True)
def _file(written: Any) -> None:
    assert written("reading") == "my_reading"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def ask(number: int) -> dict[str, Any]:
    said = [("human", "<image>\nWhere are the rings?"), ("gpt", ("top left", "bottom right")[number % 2])]
    turns = [{"from": who, "value": text} for who, text in said]
    return {"id": number, "image": f"{number}.png", "conversations": turns, "verdict": ("right", "wrong")[number % 2]}


@pytest.fixture(scope="module")
def scored(working_folder: Path) -> list[dict[str, Any]]:
    """Scores of four answers about four scenes, by `score`."""
    for number in range(4):
        draw(sample_scene(number, 0.2)).save(working_folder / f"{number}.png")
    (working_folder / "set.jsonl").write_text("".join(json.dumps(ask(number)) + "\n" for number in range(4)))
    words = ["set.jsonl", "scored.jsonl", "--model", "shipped:scenes", "--accelerator", "cpu"]
    assert main(["score", *words, "--readings", NAME]) == 0
    return [one["c3l_scores"][0] for one in lines(working_folder / "scored.jsonl")]


def test_the_formula_by_hand() -> None:
    """Weights 3/2 and 1/2 of log-ratios 1 and 7, which is cut to 5: (1.5 + 2.5) / 2; nothing of the padding."""
    found = reading_function("reading", NAME)(
        torch.tensor([[-1.0, -1.0, math.nan]]),
        torch.tensor([[-2.0, -8.0, math.nan]]),
        torch.tensor([[3.0, 1.0, math.nan]]),
        torch.tensor([[True, True, False]]),
        masked_mean,
    )
    assert found.tolist() == pytest.approx([2.0])


def test_score_has_the_reading_beside_the_four(scored: list[dict[str, Any]], working_folder: Path) -> None:
    for turn in scored:
        assert list(turn)[2:] == [
            *("answer", "positions", "vocabulary", "gap", "mean_logp", "mean_logq", "tokens", NAME, "shuffled")
        ]
        # one token or two: no weight is above 2, no log-ratio above 5
        assert abs(turn[NAME]) <= 10
    meta = json.loads((working_folder / "scored.meta.json").read_text())
    assert meta["scored_with"]["readings"] == [NAME]
    assert meta["figures"]["mean"][NAME] == pytest.approx(sum(turn[NAME] for turn in scored) / 4)
    assert meta["figures"]["ranks"]["correlation"][NAME][NAME] == pytest.approx(1.0)
    assert NAME in (working_folder / "scored.html").read_text()


def test_one_token_answers_have_the_log_ratio(working_folder: Path) -> None:
    """With one token its weight is 1, whatever its KL is: the reading is `gap`, cut."""
    one = ask(0)
    one["conversations"][1]["value"] = "red"
    (working_folder / "one.jsonl").write_text(json.dumps(one) + "\n")
    words = ["one.jsonl", "one.scored.jsonl", "--model", "shipped:scenes", "--no-page", "--accelerator", "cpu"]
    assert main(["score", *words, "--readings", NAME]) == 0
    [turn] = lines(working_folder / "one.scored.jsonl")[0]["c3l_scores"]
    assert turn["tokens"] == 1
    assert turn[NAME] == pytest.approx(min(max(turn["gap"], -5.0), 5.0), abs=1e-5)


def test_select_and_check_scores_read_it_without_the_file(
    scored: list[dict[str, Any]], working_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "my_reading")
    (working_folder / "my_reading.py").rename(working_folder / "away.txt")
    try:
        words = ["scored.jsonl", "kept.jsonl", "--by", NAME, "--top-k", "1", "--no-balance-yes-no"]
        assert main(["select", *words]) == 0
        assert main(["check-scores", "scored.jsonl", "--readings", NAME]) == 0
    finally:
        (working_folder / "away.txt").rename(working_folder / "my_reading.py")
    [kept] = lines(working_folder / "kept.jsonl")
    assert kept["c3l_scores"][0][NAME] == max(turn[NAME] for turn in scored)
    found = json.loads((working_folder / "scored.check.json").read_text())
    right, wrong = [[turn[NAME] for turn in scored[start::2]] for start in (0, 1)]
    won = sum((r > w) + 0.5 * (r == w) for r in right for w in wrong)
    assert found["all"][NAME]["auroc"] == pytest.approx(won / 4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gap", "--readings gap: is always computed"),
        (
            "my_reading.suprise",
            "--readings my_reading.suprise: module my_reading has no attribute suprise",
        ),
    ],
)
def test_what_score_does_not_take(
    name: str, said: str, scored: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", "set.jsonl", "new.jsonl", "--model", "shipped:scenes", "--readings", name]) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")
