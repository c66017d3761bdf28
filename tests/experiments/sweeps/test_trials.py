"""Trials through the real command line: a local walk, and what an agent of W&B starts."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_c3l.cli.main import main
from lightning_c3l.cli.trainer import C3LCLI, run_trainer
from tests.helpers.commandline import ROOT, run, tiny_config, write_images


def test_a_run_under_an_agent_takes_the_folder_of_its_trial(tmp_path, tiny_checkpoint, monkeypatch):
    write_images(tmp_path / "images", 2)
    path = tiny_config(tmp_path, tiny_checkpoint)
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "run1")
    monkeypatch.setattr(C3LCLI, "instantiate_classes", lambda cli: None)
    monkeypatch.setattr(C3LCLI, "_run_subcommand", lambda cli, subcommand: None)
    cli = run_trainer(["fit", "--config", str(path), "--ckpt_path=last"])
    config = cli.config.fit
    assert (config.run.name, config.run.trial) == ("tiny", "sweep1/run1")
    assert config.trainer.default_root_dir == str(tmp_path / "runs" / "sweeps" / "sweep1" / "run1" / "version_0")
    # so that the command that is printed on Ctrl-C finds the folder outside of the agent too
    assert cli.words[-2:] == ["--run.trial", "sweep1/run1"]
    given = run_trainer(["fit", "--config", str(path), "--run.trial", "other/trial"])
    assert given.config.fit.run.trial == "other/trial"


def sweep_file(folder: Path, config: Path, values: list[float], *more: str) -> Path:
    command = ["${env}", "${interpreter}", "-m", "lightning_c3l", "fit", "--config", str(config), *more, "${args}"]
    found = {
        "method": "grid",
        "metric": {"name": "final/held_out_criterion", "goal": "maximize"},
        "parameters": {"model.init_args.optimization.learning_rate": {"values": values}},
        "command": command,
    }
    path = folder / "rates.yaml"
    path.write_text(yaml.safe_dump(found))
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_grid_of_two_trials_of_which_one_fails(tmp_path, tiny_checkpoint, monkeypatch, capsys):
    write_images(tmp_path / "images", 4)
    config = tiny_config(tmp_path, tiny_checkpoint, exposure={"measure": False})
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = ["sweep-local", str(sweep_file(tmp_path, config, [1e-4, -1.0])), "--root", str(tmp_path / "runs")]
    assert main([*words, "--workers", "2"]) == 1
    folder = tmp_path / "runs" / "sweeps" / "rates"
    found = json.loads((folder / "results.json").read_text())["trials"]
    assert [(one["status"], one["exit"]) for one in found] == [("finished", 0), ("failed", 2)]
    assert "learning_rate" in found[1]["reason"]
    assert "held_out_criterion" in found[0]["figures"]
    assert found[0]["metric"] == found[0]["figures"]["held_out_criterion"]
    used = yaml.safe_load((folder / "0000" / "version_0" / "config.yaml").read_text())
    assert used["model"]["init_args"]["optimization"]["learning_rate"] == 1e-4
    assert used["run"]["trial"] == "rates/0000"
    # a trial whose process died in the middle goes on in its folder
    (folder / "0000" / "trial.json").unlink()
    before = (folder / "0000" / "version_0" / "rounds" / "0" / "round.json").read_bytes()
    assert main(words) == 1
    assert {path.name for path in (folder / "0000").glob("version_*")} == {"version_0"}
    assert (folder / "0000" / "version_0" / "rounds" / "0" / "round.json").read_bytes() == before
    assert json.loads((folder / "results.json").read_text())["trials"][0]["status"] == "finished"
    assert "2/2 trial 0001" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_rank_of_a_trial_gets_the_values_of_the_sweep(tmp_path, tiny_checkpoint, monkeypatch):
    """What an agent of W&B starts, with the overlay for two processes."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    write_images(tmp_path / "images", 4)
    recorder = {"class_path": "tests.helpers.recorders.RankOptions", "init_args": {"folder": str(tmp_path / "ranks")}}
    config = tiny_config(tmp_path, tiny_checkpoint, exposure={"measure": False})
    changed: Any = yaml.safe_load(config.read_text())
    changed["trainer"] |= {"callbacks": [recorder], "max_epochs": 1}
    config.write_text(yaml.safe_dump(changed))
    values = {
        "model.init_args.optimization.learning_rate": 3e-05,
        "model.init_args.loss.beta": 0.7,
        "i2c.cap": 2.5,
    }
    args = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})["args"]
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "run1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    overlay = str(ROOT / "experiments" / "hardware" / "ddp2_cpu.yaml")
    words = ["--config", str(config), "--config", overlay, "--ckpt_path=last", *args]
    status, printed = run("fit", *words, cwd=tmp_path, timeout=840)
    assert status == 0, printed[-3000:]
    expected = {"learning_rate": 3e-05, "beta": 0.7, "cap": 2.5}
    ranks = [json.loads((tmp_path / "ranks" / f"{rank}.json").read_text()) for rank in (0, 1)]
    home = tmp_path / "runs" / "sweeps" / "sweep1" / "run1" / "version_0"
    assert ranks == [{**expected, "folder": str(home)}] * 2
    assert (home / "summary.json").is_file()
    assert [path.name for path in home.parent.iterdir()] == ["version_0"]
