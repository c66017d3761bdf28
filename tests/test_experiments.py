"""No experiment file can rot: each is found, parsed, and has its lab note."""

from pathlib import Path

import pytest

from lightning_c3l.cli import run_trainer
from tests.commandline import ROOT

FILES = sorted((ROOT / "experiments").rglob("*.yaml"))


def test_every_experiment_file_is_known():
    assert [path.name for path in FILES] == [
        "demo.yaml",
        "demo_images.yaml",
        "easy_vqa_base.yaml",
        "scenes_base.yaml",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_parses(path: Path, capsys):
    with pytest.raises(SystemExit) as left:
        run_trainer(["fit", "--config", str(path), "--print_config"])
    assert left.value.code in (0, None)
    assert "class_path: lightning_c3l." in capsys.readouterr().out


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_its_header_is_a_lab_note(path: Path):
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("claim", "command", "hardware", "minutes", "expected", "measured"):
        assert any(line.startswith(f"# {word}") for line in head), word
