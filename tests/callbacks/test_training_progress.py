"""Progress of a training: batches of the epoch, step and loss."""

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import callbacks.training_progress as shown
from callbacks.training_progress import TrainingProgress
from lightning_c3l.report import progress
from lightning_c3l.report.progress import Board


class Module(LightningModule):
    """Each batch takes forty seconds of a clock of its own, and its loss is known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.now = 0.0

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.now += 40
        self.log("train/loss", 0.25 + batch_idx, prog_bar=True)
        self.log("train/con", 0.5, prog_bar=True)
        if self.now > 1000:
            raise ValueError("something is wrong")
        return self.weight.sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def fit(module: Module, folder: Path, out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BOARD", Board(out, lambda: module.now, silent=lambda: False))
    monkeypatch.setattr(shown, "_PAUSE", -math.inf)
    trainer = Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[TrainingProgress()],
    )
    trainer.fit(module, DataLoader(torch.zeros(3, 1)))


def test_lines_name_epoch_batches_step_and_loss(
    tmp_path: Path, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(Module(), tmp_path, out, monkeypatch)
    assert out.getvalue().splitlines() == [
        "train epoch 0: 1/3 batches (33 %), 1:20 left, step 1, loss 0.25",
        "train epoch 0: 2/3 batches (67 %), 0:40 left, step 2, loss 1.25",
        "train epoch 0: 3/3 batches (100 %), step 3, loss 2.25",
        "train epoch 0: 3 batches in 2:00, step 3, loss 2.25",
        "train epoch 1: 1/3 batches (33 %), 1:20 left, step 4, loss 0.25",
        "train epoch 1: 2/3 batches (67 %), 0:40 left, step 5, loss 1.25",
        "train epoch 1: 3/3 batches (100 %), step 6, loss 2.25",
        "train epoch 1: 3 batches in 2:00, step 6, loss 2.25",
    ]


def test_an_error_ends_the_stage_without_a_line(
    tmp_path: Path, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Module()
    module.now = 970.0
    with pytest.raises(ValueError, match="something is wrong"):
        fit(module, tmp_path, out, monkeypatch)
    assert out.getvalue() == ""
    # nothing is left open: a new outermost stage has a line of its own
    with progress.stage("next", "images", 1) as stage:
        module.now += 10
        stage.update()
    assert out.getvalue() == "next: 1 images in 0:10\n"
