"""W&B's own agent walks a sweep of real runs; only its server is a stand-in."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers.commandline import environment, tiny_config, write_images
from tests.helpers.offline_wandb import exit_code_of
from tests.helpers.sweep_server import Sweep
from tests.helpers.wandb_server import serve

# by trial: one that is stopped long before its end, one that ends well, one that fails in training
TRIALS = [
    {"trainer.max_epochs": 500, "i2c.margin": 0.0},
    {"trainer.max_epochs": 1, "i2c.margin": 0.1},
    {"trainer.max_epochs": 2, "i2c.margin": 0.2},
]
FAILS = {"class_path": "tests.helpers.recorders.FailsInTraining", "init_args": {"with_epochs": 2}}


@pytest.fixture
def offline_runs(tmp_path):
    """W&B's folders of the runs, by trial."""
    return lambda: {path.name.rpartition("-")[2]: path for path in tmp_path.glob("runs/**/wandb/offline-run-*")}


@pytest.mark.slow
def test_an_agent_goes_on_after_trials_that_are_stopped_or_fail(tmp_path, tiny_checkpoint, offline_runs):
    write_images(tmp_path / "images", 4)
    run = {"root": str(tmp_path / "runs"), "name": "swept", "wandb": "team/swept", "checkpoint_every": 1}
    config = tiny_config(tmp_path, tiny_checkpoint, run=run, exposure={"measure": False})
    settings = yaml.safe_load(config.read_text())
    settings["trainer"]["callbacks"] = [FAILS]
    config.write_text(yaml.safe_dump(settings))
    # as in the sweep files, with a small experiment, and W&B's runs in files
    words = ["-m", "lightning_c3l", "fit", "--config", str(config), "--ckpt_path=last", "${args}"]
    command = ["${env}", "WANDB_MODE=offline", "${interpreter}", *words]

    def is_trained(number: int) -> bool:
        home = offline_runs().get("trial0")
        return number == 0 and home is not None and (home.parents[1] / "checkpoints" / "last.ckpt").exists()

    sweep = Sweep(command, TRIALS, stops=is_trained)
    with serve(sweep.answer) as address:
        agent = _agent(tmp_path, address)
    assert agent.returncode == 0, agent.stdout
    # the agent ends itself where it has counted a failure before any trial that ended otherwise
    assert "shutting down" not in agent.stdout
    started = re.findall(r"--i2c.margin=(\S+)$", agent.stdout, re.M)
    assert started == ["0.0", "0.1", "0.2"]
    runs = dict(sorted(offline_runs().items()))
    exits = {name: exit_code_of(home) for name, home in runs.items()}
    assert exits == {"trial0": 143, "trial1": 0, "trial2": 1}
    folders = [tmp_path / "runs" / "sweeps" / "sweep1" / f"trial{number}" / "version_0" for number in range(3)]
    assert [home.parents[1] for home in runs.values()] == folders
    margins = [yaml.safe_load((folder / "config.yaml").read_text())["i2c"]["margin"] for folder in folders]
    assert margins == [0.0, 0.1, 0.2]
    assert [(folder / "report.html").exists() for folder in folders] == [False, True, False]


def _agent(folder: Path, address: str) -> subprocess.CompletedProcess[str]:
    """Run W&B's agent until the sweep is through; it gives up at the first failure before a success."""
    kept = {name: value for name, value in environment().items() if not name.startswith("WANDB")}
    told = {
        "WANDB_BASE_URL": address,
        "WANDB_API_KEY": "0" * 40,
        "WANDB_AGENT_MAX_INITIAL_FAILURES": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    return subprocess.run(
        [sys.executable, "-m", "wandb", "agent", "team/swept/sweep1"],
        cwd=folder,
        env={**kept, **told},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
    )
