"""A first round and a trial that takes it, by the commands of the harness, with the tiny model in this process."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.recipe.measuring import MEASURED
from experiments.recipe.protocol import Protocol, read_protocol
from experiments.recipe.table import read_table
from experiments.recipe.trials import _FIT, Recipes
from experiments.sweeps.trials import Trial
from lightning_c3l.cli.main import main
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.runs import lock
from lightning_c3l.runs.atomic import write_text_atomic
from tests.helpers.commandline import tiny_config

IMAGES, KINDS = 3, 4


@dataclass(frozen=True)
class Made:
    round: Path
    trial: Path
    protocol: Protocol

    def measured(self, folder: Path) -> Any:
        return json.loads((folder / MEASURED).read_text())


def run_here(recipes: Recipes, trial: Trial) -> Path:
    overlay = recipes.overlay(trial, "search")
    write_text_atomic(trial.folder / "overlay.yaml", overlay)
    words = recipes.command(trial)
    assert tuple(words[:4]) == _FIT
    assert main(words[3:]) == 0
    trial.end(0, 1.0)
    assert trial.run_folder is not None
    return trial.run_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Made:
    folder = tmp_path_factory.mktemp("recipe")
    data = {
        "class_path": "RoundDataModule",
        "init_args": {"images": "scenes:count=4,seed=1", "batch_size": 8, "truth": {"class_path": "SceneTruth"}},
    }
    off = {"guard": {"action": "off"}, "exposure": {"measure": False}, "export": {"write": False}}
    config = tiny_config(folder, tiny_checkpoint, data=data, **off)
    rows = {"base": {"trainer.max_epochs": 1, "model.init_args.loss.contrastive_weight": 0.0, "i2c.margin": 1e9}}
    table = folder / "table.yaml"
    table.write_text(yaml.safe_dump({"experiment": config.name, "baseline": "base", "rows": rows}))
    protocol = folder / "protocol.yaml"
    stage = {"seeds": "7", "images": f"scenes:count={IMAGES},follow=0.0,seed=5"}
    measure = {"samples": 2, "max_new_tokens": 4, "answer_tokens": 4}
    protocol.write_text(yaml.safe_dump({"stages": {"search": stage}, "measure": measure}))
    recipes = Recipes(read_table(table), read_protocol(protocol), folder / "runs")
    first = run_here(recipes, recipes.first_round("base", 7))
    trial = run_here(recipes, recipes.trial("base", 7))
    lock.release()
    return Made(first, trial, recipes.protocol)


def test_a_trial_trains_on_the_candidates_of_the_stored_round(made):
    first, own = (RunStore(folder).read_round(0) for folder in (made.round, made.trial))
    assert [one.candidate for one in own.candidates] == [one.candidate for one in first.candidates]
    assert [one.scores for one in own.candidates] == [one.scores for one in first.candidates]
    assert "generate" not in own.figures["seconds"]
    # with a selection of its own
    assert all(not group.negatives for group in own.groups)
    assert json.loads((made.trial / "rounds" / "0" / "manifest.json").read_text())["thresholds"]["margin"] == 1e9
    assert (made.trial / "adapter").is_dir()
    assert not (made.round / "adapter").exists()
    assert not (made.trial / "vlit.json").exists()


def test_every_image_is_measured_before_and_after_training(made):
    for folder in (made.round, made.trial):
        found = made.measured(folder)
        assert len(found["images"]) == IMAGES
        sums = found["sums"]
        written = {image: parts[1] for image, parts in sums["truth"].items()}
        assert written == dict.fromkeys(found["images"], 2.0 * KINDS)
        assert {name: parts[1] for name, parts in sums["qa"].items()} == dict.fromkeys(found["images"], float(KINDS))
        assert sum(parts[1] for parts in sums["qa_color"].values()) == IMAGES
        parsed = sum(parts[0] for parts in sums["parsed"].values())
        assert sum(sum(parts) for parts in sums["kind_entropy"].values()) == parsed
        seen, unseen = (sum(parts[1] for parts in sums[f"reference_{part}"].values()) for part in ("seen", "unseen"))
        assert seen + unseen == IMAGES * KINDS
    assert made.measured(made.round)["images"] == made.measured(made.trial)["images"]


def test_what_a_trial_costs_is_kept_by_part(made):
    seconds = made.measured(made.trial)["cpu_seconds"]
    assert list(seconds) == ["before", "training", "writing", "answering", "continuing", "all"]
    assert seconds["training"] > 0
    assert made.measured(made.round)["cpu_seconds"]["training"] == 0
