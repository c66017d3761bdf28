"""A wrong experiment file or checkpoint is told before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lightning_c3l.cli.first_look import look
from lightning_c3l.lvlm.base import LVLMError
from tests.helpers.commandline import ROOT, environment

PATH = ("model", "init_args", "lvlm", "init_args", "path")


def experiment(folder: Path, name: str, checkpoint: object, class_path: str = "HuggingFaceLVLM") -> str:
    lvlm = {"class_path": class_path, "init_args": {"path": str(checkpoint)}}
    (folder / name).write_text(yaml.safe_dump({"model": {"class_path": "C3LModule", "init_args": {"lvlm": lvlm}}}))
    return str(folder / name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fit", "--config", "lost.yaml"], "error: --config lost.yaml: no such file"),
        (["fit", "--data.images", "folder"], "error: --config: missing; give an experiment file"),
        (["predict", "--config=lost.yaml"], "error: --config lost.yaml: no such file"),
        (
            ["fit", "--config", str(ROOT / "experiments" / "demo.yaml"), "--model.lvlm.path", "x/y"],
            "error: x/y: no such",
        ),
        (["test", "-c", str(ROOT / "experiments" / "eval" / "pope.yaml")], "error: llava-hf/llava-1.5-7b-hf: no such"),
    ],
)
def test_a_process_says_so_without_pytorch(words, said, tmp_path):
    probe = (
        "import sys; from lightning_c3l.cli.main import main; status = main(sys.argv[1:]); "
        "sys.exit(status if not {'torch', 'transformers', 'lightning'} & set(sys.modules) else 9)"
    )
    env = {**environment(), "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", probe, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


def test_the_checkpoint_is_that_of_the_last_file_or_of_the_words(tiny_checkpoint, tmp_path):
    lost = experiment(tmp_path, "lost.yaml", tmp_path / "nowhere")
    found = experiment(tmp_path, "found.yaml", tiny_checkpoint)
    (tmp_path / "overlay.yaml").write_text("trainer: {max_epochs: 1}")
    look(["fit", "--config", lost, "-c", found, "--config", str(tmp_path / "overlay.yaml")])
    look(["fit", "--config", lost, "--model.lvlm.path", str(tiny_checkpoint)])
    with pytest.raises(LVLMError, match="nowhere: no such folder"):
        look(["fit", "--config", found, "--config", lost])
    with pytest.raises(LVLMError, match="elsewhere: no such folder"):
        look(["fit", "--config", found, "--model.init_args.lvlm.init_args.path", f"{tmp_path}/elsewhere"])


def test_what_it_cannot_judge_is_left_to_the_parser(tmp_path):
    lost = experiment(tmp_path, "lost.yaml", tmp_path / "nowhere")
    for words in (
        ["--config", lost, "--print_config"],
        ["--config", lost, "--help"],
        ["--config", lost, "--model.lvlm", "my.Client"],
        ["--config", experiment(tmp_path, "other.yaml", "some/path", "my.Client")],
        ["--config", experiment(tmp_path, "interpolated.yaml", "${run.root}/base")],
        ["--config", "model: {class_path: C3LModule}"],
        ["--config"],
    ):
        look(["fit", *words])
    (tmp_path / "broken.yaml").write_text("model: [")
    look(["fit", "--config", str(tmp_path / "broken.yaml")])
