"""The console script `c3l` is `python -m lightning_c3l`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_c3l.cli import console
from lightning_c3l.distributed.program import STARTED_AS, command_line, program
from tests.helpers.commandline import ROOT, environment, run_here

USERS_CLASS = '''
from lightning import LightningDataModule

class Images(LightningDataModule):
    """Images of a user's own.

    Args:
        shelf: where they stand.
    """

    def __init__(self, shelf: int = 7) -> None:
        super().__init__()
'''


def test_it_becomes_the_module_with_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    became = list[list[str]]()
    monkeypatch.setattr(os, "execv", lambda path, words: became.append([path, *words]))
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/c3l", "runs", "--sort", "a b"])
    monkeypatch.setenv(STARTED_AS, "")
    console.main()
    assert became == [[sys.executable, sys.executable, "-m", "lightning_c3l", "runs", "--sort", "a b"]]


def test_a_class_beside_the_experiment_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "my_module.py").write_text(USERS_CLASS)
    (tmp_path / "mine.yaml").write_text("data: {class_path: my_module.Images}\n")
    start = "from lightning_c3l.cli.console import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "fit", "--config", "mine.yaml", "--help"],
        env=environment() | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("example: c3l fit\n")
    assert "--data.* (Images):\n  Images of a user's own\n" in done.stdout
    assert "--data.shelf INT          where they stand (default: 7)" in done.stdout


def test_its_status_is_that_of_the_verb(tmp_path: Path) -> None:
    start = "from lightning_c3l.cli.console import main; main()"
    words = [sys.executable, "-c", start, "report", "nowhere"]
    env = environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "error: nowhere: no run folder, nor a folder of versions of one; `c3l runs` lists those in runs/\n"
    )


@pytest.mark.parametrize(("started", "words"), [("c3l", ["c3l"]), ("", ["python", "-m", "lightning_c3l"])])
def test_commands_are_printed_as_the_program_was_started(
    started: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(STARTED_AS, started)
    assert program() == words
    assert command_line("runs x") == " ".join([*words, "runs", "x"])
    assert run_here(capsys)[1].startswith(f"usage: {' '.join(words)} VERB")
    status, said = run_here(capsys, "runs", "--help")
    assert status == 0
    assert said.startswith(f"example: {' '.join(words)} runs ")


def test_setup_cfg_names_the_function() -> None:
    assert "c3l = lightning_c3l.cli.console:main" in (ROOT / "setup.cfg").read_text()
