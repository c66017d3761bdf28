"""An LVLM provider in a file of the user's own: it scores as its members do in the mean, and answers a benchmark."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import lightning_c3l.scenes
from lightning_c3l import extensions
from lightning_c3l.cli.main import main
from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.records import exchange
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.world import sample_scene

NAME = "my_provider.Ensemble"
NUMBERS = ("one", "two", "three", "four")


@pytest.fixture(scope="module", autouse=True)
def paths(written: Any, working_folder: Path) -> list[str]:
    """The shipped LVLM, and one with slightly other weights."""
    assert written("provider") == "my_provider"
    (base,) = lightning_c3l.scenes.__path__
    other = working_folder / "other"
    shutil.copytree(Path(base) / "base", other)
    weights = {name: value * 1.02 for name, value in load_file(other / "model.safetensors").items()}
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    return ["shipped:scenes", str(other)]


def test_it_scores_by_the_mean_and_generates_by_the_first(paths: list[str]) -> None:
    ensemble = extensions.load("model.lvlm", NAME, "LVLM", lambda found: "")(paths)
    images = [[draw(sample_scene(seed, 0.2))] for seed in (0, 1)]
    chats = [[exchange("Where are the rings?", "top left")], [exchange("What color are the rings?", "red")]]
    found = ensemble.score(images, chats, images[::-1])
    alone = [one.score(images, chats, images[::-1]) for one in ensemble.members]
    assert not torch.allclose(alone[0].logp_image, alone[1].logp_image)
    for name in ("logp_image", "logp_blind", "kl", "logp_shuffled"):
        torch.testing.assert_close(getattr(found, name), sum(getattr(one, name) for one in alone) / 2)
    nll = [one.mean_nll(images, chats) for one in ensemble.members]
    assert ensemble.mean_nll(images, chats)[1][0] == pytest.approx((nll[0][1][0] + nll[1][1][0]) / 2)
    request, sampling = GenerationRequest("Where are the rings?", images[0][0], 3), Sampling(2, 6, 0.7)
    assert ensemble.generate([request], sampling) == ensemble.members[0].generate([request], sampling)
    assert ensemble.unsupported_images([images[0][0]]) == [""]
    assert len({ensemble.fingerprint, *(one.fingerprint for one in ensemble.members)}) == 3


def test_it_answers_a_benchmark(paths: list[str], working_folder: Path) -> None:
    questions = list[dict[str, Any]]()
    for number in range(2):
        draw(sample_scene(number, 0.2)).save(working_folder / f"{number}.png")
        options = {f"choice_{letter}": text for letter, text in zip("abcd", NUMBERS, strict=True)}
        asked = {"question_id": str(number), "data_id": f"{number}.png", "question": "How many rings are there?"}
        questions.append({**asked, **options, "answer": "A", "question_type_id": 5, "data_type": "image"})
    document = {"questions": questions, "question_type": {"Instances Counting": 5}}
    (working_folder / "seed.json").write_text(json.dumps(document))
    config = {
        "run": {"name": "ensemble"},
        "model": {
            "class_path": "EvaluationModule",
            "init_args": {
                "lvlm": {"class_path": NAME, "init_args": {"paths": paths}},
                "losses": True,
                "max_new_tokens": 4,
            },
        },
        "data": {
            "class_path": "BenchmarkDataModule",
            "init_args": {"benchmark": "seed", "questions": "seed.json", "images": ".", "num_workers": 1},
        },
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
    }
    (working_folder / "ensemble.yaml").write_text(yaml.safe_dump(config))
    assert main(["test", "--config", "ensemble.yaml", "--run.root", "runs"]) == 0
    answers = working_folder / "runs" / "ensemble" / "version_0" / "answers.jsonl"
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert {row["model_id"] for row in rows} == {" + ".join(paths)}
    assert all(len(row["losses"]) == 4 and all(map(math.isfinite, row["losses"])) for row in rows)
