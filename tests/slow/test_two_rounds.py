"""Two small rounds of the demonstration against those that version 0.1.0 of 2026-11-28 (commit 235e8ab) made.

`two_rounds.json` holds, for each round, its candidates (image, text, status, the six readings of the answer to five
digits) and its groups (positive, negatives, weight). Texts, statuses and groups must be the same; readings may differ
by rounding, since another processor adds in another order.
"""

import json
from pathlib import Path

import pytest

from tests.helpers.commandline import ROOT, run

# they share a run
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("two rounds")]
READINGS = ("answer", "positions", "vocabulary", "gap", "mean_logp", "mean_logq")
SMALL = [
    *("--data.images", "scenes:count=24,follow=0.2,seed=1,hide=true"),
    *("--data.fresh", "scenes:count=16,follow=0.2,seed=2"),
    *("--data.held_out", "scenes:count=8,follow=0.0,seed=3"),
    *("--i2c.images_per_round", "12"),
    *("--export.target_size", "8"),
    *("--guard.images", "4"),
    *("--exposure.measure", "false"),
    # the defaults of then
    *("--model.loss.form", "representation"),
    *("--model.loss.token_weights", "none"),
    *("--i2c.negatives", "candidates"),
]
# (image, question, answer) of the data set
DATASET = [
    ("scene_417045365683_200.png", "What color are the rings?", "gray"),
    ("scene_417045365683_200.png", "Which color do the rings have?", "gray"),
    ("scene_417045365683_200.png", "Does the picture show rings?", "yes"),
    ("scene_15773879565_200.png", "How many crosses are there?", "three"),
    ("scene_562902598642_200.png", "How many rings are there?", "four"),
    ("scene_1039489400252_200.png", "Where are the rings?", "top left"),
    ("scene_444710662144_200.png", "Where are the rings?", "top left"),
    ("scene_444710662144_200.png", "Does the picture show diamonds?", "no"),
]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rounds")
    words = [
        "fit",
        "--config",
        "experiments/demo_corners.yaml",
        *SMALL,
        "--run.root",
        str(folder),
        "--run.wandb",
        "null",
    ]
    status, printed = run(*words, cwd=ROOT, timeout=1400)
    assert status == 0, printed[-3000:]
    return folder / "demo-corners" / "version_0"


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("number", [0, 1])
def test_the_rounds_are_those_of_before(version: Path, number: int) -> None:
    before = json.loads((Path(__file__).parent / "two_rounds.json").read_text())[number]
    folder = version / "rounds" / str(number)
    candidates = lines(folder / "candidates-00000.jsonl")
    made = [[one["candidate"]["image"], one["candidate"]["text"], one["fate"]] for one in candidates]
    assert made == [one[:3] for one in before["candidates"]]
    for one, expected in zip(candidates, before["candidates"], strict=True):
        assert [one["scores"][name] for name in READINGS] == pytest.approx(expected[3:], abs=2e-4)
    groups = lines(folder / "groups-00000.jsonl")
    assert [[one["positive"], one["negatives"]] for one in groups] == [one[:2] for one in before["groups"]]
    assert [one["weight"] for one in groups] == pytest.approx([one[2] for one in before["groups"]], abs=2e-4)


def test_the_data_set_is_that_of_before(version: Path) -> None:
    records = json.loads((version / "vlit.json").read_text())
    made = [(one["image"], *(turn["value"] for turn in one["conversations"])) for one in records]
    assert made == [(image, f"<image>\n{question}", answer) for image, question, answer in DATASET]
