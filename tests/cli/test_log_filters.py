"""What users can do nothing about is not shown."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.distributed.messages import QUIET


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_log_that_cannot_be_written_prints_nothing(monkeypatch, capsys):
    monkeypatch.setattr(logging, "raiseExceptions", True)
    quieten()
    handler = logging.FileHandler("/dev/full")
    log = logging.Logger("wandb")
    log.addHandler(handler)
    for _ in range(3):
        log.warning("a line")
    assert capsys.readouterr().err == ""


@pytest.fixture
def lightning_log() -> Iterator[logging.Logger]:
    log = logging.getLogger("lightning.pytorch")
    before = list(log.handlers), log.propagate, log.level
    log.handlers, log.propagate = [logging.StreamHandler()], False
    yield logging.getLogger("lightning.pytorch.utilities.rank_zero")
    log.handlers, log.propagate = before[:2]
    log.setLevel(before[2])


@pytest.mark.parametrize(
    "line",
    [
        "GPU available: False, used: False",
        "TPU available: False, using: 0 TPU cores",
        "LOCAL_RANK: 0 - CUDA_VISIBLE_DEVICES: [0]",
        "Seed set to 0",
        "[rank: 1] Seed set to 0",
        "Initializing distributed: GLOBAL_RANK: 0, MEMBER: 1/2",
        "-" * 100 + "\ndistributed_backend=gloo\nAll distributed processes registered.\n",
        "`Trainer.fit` stopped: `max_epochs=2` reached.",
        "💡 Tip: For seamless cloud logging, try another package",
    ],
)
def test_what_lightning_says_of_every_run_is_left_out(
    line: str, lightning_log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    quieten()
    lightning_log.info(line)
    # the steps were fewer than asked for
    lightning_log.info("`Trainer.fit` stopped: `max_time` reached.")
    lightning_log.info("round 1 is made again: Seed set to 0")
    assert capsys.readouterr().err.splitlines() == [
        "`Trainer.fit` stopped: `max_time` reached.",
        "round 1 is made again: Seed set to 0",
    ]


def test_quiet_runs_show_warnings_of_logs_alone(
    lightning_log: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(QUIET, "1")
    quieten()
    lightning_log.info("trained on two rounds")
    lightning_log.warning("a checkpoint is damaged")
    monkeypatch.setenv(QUIET, "")
    quieten()
    lightning_log.info("trained on three rounds")
    assert capsys.readouterr().err == "a checkpoint is damaged\ntrained on three rounds\n"
