"""What users can do nothing about is not shown."""

import logging
from pathlib import Path

import pytest

from lightning_c3l.cli.log_filters import quieten


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
