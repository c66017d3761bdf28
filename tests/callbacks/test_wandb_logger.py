"""A run does not need W&B."""

import pytest
import wandb

from callbacks.round_logger import wandb_logger


@pytest.fixture
def logger(tmp_path, monkeypatch):
    # only its presence is looked at: nothing is sent
    monkeypatch.setenv("WANDB_API_KEY", "no key")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return wandb_logger("project", "name", tmp_path)


class Run:
    """As much of W&B's run as the logger uses."""

    def __init__(self) -> None:
        self.logged = []
        self.alive = True
        self.finished = []

    def finish(self, exit_code: int) -> None:
        self.finished.append(exit_code)

    def log(self, metrics) -> None:
        if not self.alive:
            raise ConnectionResetError("Connection lost")
        self.logged.append(metrics)


@pytest.fixture
def begun(monkeypatch) -> list[str]:
    """Modes in which W&B was begun; online it cannot be reached."""
    modes = list[str]()

    def init(mode: str, **options: object) -> Run:
        modes.append(mode)
        if mode == "online":
            raise wandb.errors.CommError("Timed out\nConsider increasing the init_timeout setting")
        return Run()

    monkeypatch.setattr(wandb, "init", init)
    return modes


def said(recwarn: pytest.WarningsRecorder) -> list[str]:
    return [str(one.message) for one in recwarn if "W&B" in str(one.message)]


def test_a_server_that_cannot_be_reached_is_asked_once(logger, begun, recwarn):
    for step in range(3):
        logger.log_metrics({"loss": 1.0}, step)
    assert said(recwarn) == ["W&B cannot be reached, this run is logged offline: Timed out"]
    assert begun == ["online", "offline"]
    assert len(logger.experiment.logged) == 3


def test_it_may_go_away_in_the_middle(logger, begun, recwarn):
    logger.log_metrics({"loss": 1.0}, 0)
    logger.experiment.alive = False
    recwarn.clear()
    for step in range(1, 4):
        logger.log_metrics({"loss": 1.0}, step)
    logger.log_hyperparams({"rank": 2})
    logger.finalize("success")
    assert said(recwarn) == ["W&B no longer answers, the run goes on without it: ConnectionResetError: Connection lost"]
    assert len(logger.experiment.logged) == 1


def test_a_failed_run_is_told_and_writes_no_more(logger, begun):
    # of a run that fails before it has logged anything
    logger.finalize("failed")
    assert begun == []
    run = logger.experiment
    logger.finalize("failed")
    assert run.finished == [1]


@pytest.mark.parametrize(
    ("project", "given"),
    [("mine", (None, "mine")), ("team/mine", ("team", "mine")), ("my team/a b", ("my team", "a b"))],
)
def test_an_entity_may_stand_before_the_project(project, given, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    options = dict[str, object]()
    monkeypatch.setattr(wandb, "init", lambda **all_: options.update(all_) or Run())
    monkeypatch.setattr(wandb, "run", None)
    _ = wandb_logger(project, "name", tmp_path).experiment
    assert (options["entity"], options["project"]) == given
