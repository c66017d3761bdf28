"""Pairs that an exchanged picture made false are told from right ones, from files to figures, on the command line."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from data_modules.scenes import SceneImages, SceneTruth
from tests.helpers.commandline import run

SCENES = 120


def pairs(folder: Path) -> list[dict[str, Any]]:
    """True questions and answers about drawn scenes, half of them put to another scene; what is true then."""
    source, truth, draw = SceneImages(SCENES, seed=77), SceneTruth(), Random(5)
    keys = list(source.keys())
    for key in keys:
        source.read(key).save(folder / f"{key}.png")
    asked = truth.questions(keys)
    moved = set(draw.sample(range(len(asked)), len(asked) // 2))
    records = []
    for number, one in enumerate(asked):
        key = draw.choice([other for other in keys if other != one.image]) if number in moved else one.image
        turns = [{"from": "human", "value": f"<image>\n{one.question}"}, {"from": "gpt", "value": one.answer}]
        verdict = truth.judge(key, one.question, one.answer)
        records.append({"id": number, "image": f"{key}.png", "conversations": turns, "verdict": verdict})
    return records


@pytest.mark.slow
def test_scores_tell_pairs_that_became_false(tmp_path: Path) -> None:
    records = pairs(tmp_path)
    verdicts = [one["verdict"] for one in records]
    assert min(verdicts.count("right"), verdicts.count("wrong")) > 50
    (tmp_path / "set.json").write_text(json.dumps(records))
    words = ["--model", "shipped:scenes", "--accelerator", "cpu", "--batch-size", "16"]
    status, printed = run("score", *words, "set.json", "scored.parquet", cwd=tmp_path)
    assert status == 0, printed
    status, printed = run("check-scores", "scored.parquet", "--at-least", "0.9", cwd=tmp_path)
    assert status == 0, printed
    status, printed = run("select", "scored.parquet", "best.json", "--top-fraction", "0.5", cwd=tmp_path)
    assert status == 0, printed
    best = [one["verdict"] for one in json.loads((tmp_path / "best.json").read_text())]
    assert best.count("wrong") / len(best) < 0.2 * verdicts.count("wrong") / len(verdicts)
