"""What a fit prints to a file: little, and nothing that nobody can act on."""

import re
from pathlib import Path

import pytest

from tests.helpers.commandline import run, tiny_config, write_images

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("log of a fit")]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> dict[bool, str]:
    """Everything that a fit and its continuation print to a file, without and with --quiet."""
    folder = tmp_path_factory.mktemp("logs")
    write_images(folder / "images", 4)
    config = tiny_config(folder, tiny_checkpoint)
    words = ["fit", "--config", str(config), "--trainer.enable_progress_bar", "true", "--ckpt_path", "last"]
    status, loud = run(*words, "--trainer.max_epochs", "1", cwd=folder)
    assert status == 0, loud
    status, quiet = run("--quiet", *words, cwd=folder)
    assert status == 0, quiet
    return {False: loud, True: quiet}


def test_the_log_of_a_fit_is_short(logs: dict[bool, str]) -> None:
    assert len(logs[False].encode()) < 4000
    assert "\r" not in logs[False]
    assert "runs on the" in logs[False]


@pytest.mark.parametrize(
    "noise",
    ["available:", "Seed set", "max_epochs", "it/s", "anonymous", "Tip", "Loading weights", "site-packages", ".py:"],
)
def test_what_nobody_can_act_on_is_not_in_it(logs: dict[bool, str], noise: str) -> None:
    assert noise not in logs[False]
    assert noise not in logs[True]


def test_quiet_leaves_the_results(logs: dict[bool, str]) -> None:
    assert "runs on the" not in logs[True]
    assert "batches in" not in logs[True]
    assert "report.html" in logs[True]
    assert not re.search(r"^round \d", logs[True], re.MULTILINE)
