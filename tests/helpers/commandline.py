"""The real command line, in this process or in one of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from lightning_c3l.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Two threads unless the caller says how many, nothing from the network, no run folder of an outer run."""
    outer = ("C3L_RUN_FOLDER", "C3L_CHECKPOINT", "C3L_PARENT", "WANDB_API_KEY")
    kept = {k: v for k, v in os.environ.items() if k not in outer}
    return {"OMP_NUM_THREADS": "2", **kept, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lightning_c3l", *words],
        cwd=cwd,
        env=environment(),
        # jobs in the background of a script ignore Ctrl-C, and hand that down
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*words: str, cwd: Path, timeout: float = 240) -> tuple[int, str]:
    """Exit status and everything that was printed."""
    process = start(*words, cwd=cwd)
    try:
        printed, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, printed


def run_here(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit status and everything that was printed, of a command in this process."""
    capsys.readouterr()
    status = main([*words])
    return status, "".join(capsys.readouterr())


def parsed_config(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What the parser of the Trainer methods makes of a command; nothing is built."""
    from lightning_c3l.cli.trainer import run_trainer  # late: importing Lightning takes seconds

    with pytest.raises(SystemExit) as left:
        run_trainer([*words, "--print_config"])
    printed = capsys.readouterr()
    assert left.value.code in (0, None), printed.err
    return yaml.safe_load(printed.out)


def write_images(folder: Path, count: int) -> None:
    """Pictures of plain noise, each its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"picture {number}.png")


def tiny_config(folder: Path, checkpoint: Path, **overrides: object) -> Path:
    """A small experiment on a random checkpoint: its texts are noise, so every text begins with a question."""
    config = {
        "seed_everything": 1,
        "run": {"root": str(folder / "runs"), "name": "tiny", "wandb": None},
        "model": {
            "class_path": "C3LModule",
            "init_args": {
                "lvlm": {
                    "class_path": "HuggingFaceLVLM",
                    "init_args": {"path": str(checkpoint), "lora": {"rank": 2, "alpha": 4}},
                },
                "writing": {
                    "templates": "scenes",
                    "begin": "Question: what is it?\nAnswer:",
                    "sampling": {"samples": 3, "max_new_tokens": 6, "temperature": 1.0},
                },
            },
        },
        "data": {
            "class_path": "RoundDataModule",
            "init_args": {"images": str(folder / "images"), "batch_size": 4},
        },
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": 2,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "reload_dataloaders_every_n_epochs": 1,
        },
        **overrides,
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
