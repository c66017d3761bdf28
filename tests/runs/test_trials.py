"""Names and folders of trials."""

import pytest

from lightning_c3l.runs.folder import RunConfig
from lightning_c3l.runs.trials import agents_trial, name_of_run


@pytest.mark.parametrize(
    ("folder", "name"),
    [("runs/demo/version_3", "demo"), ("runs/sweeps/s1/0004/version_0", "s1/0004"), ("sweeps/demo/version_0", "demo")],
)
def test_the_name_of_a_run(tmp_path, folder, name):
    assert name_of_run(tmp_path / folder) == name


@pytest.mark.parametrize("trial", ["", "sweep1", "a/b/c", "../run", "sweep1/..", "sweep1/.run", "sweep 1/run"])
def test_a_trial_that_is_no_name_of_two_folders(trial):
    with pytest.raises(ValueError, match=r"^run\.trial must be SWEEP/TRIAL"):
        RunConfig(trial=trial)


@pytest.mark.parametrize(
    ("sweep", "run", "trial"), [("s1", "r1", "s1/r1"), ("", "r1", None), ("s1", "", None), (None, None, None)]
)
def test_the_trial_of_an_agent_is_in_its_environment(sweep, run, trial, monkeypatch):
    for name, value in (("WANDB_SWEEP_ID", sweep), ("WANDB_RUN_ID", run)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert agents_trial() == trial
