"""Callbacks that a run of the real command line is given, so that a test learns what went on inside."""

import json
from pathlib import Path
from typing import Any

import torch
from lightning import Callback

from callbacks.i2c_reweighting import I2CReweighting


class Losses(Callback):
    """Notes the loss of every step at once, for a killed run keeps nothing that waits in memory.

    Args:
        file: appended to by the first process, a line of JSON each step.
    """

    def __init__(self, file: str) -> None:
        self.file = file

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.is_global_zero:
            row = {"epoch": trainer.current_epoch, "step": trainer.global_step, "loss": float(outputs["loss"])}
            with open(self.file, "a") as out:
                out.write(json.dumps(row) + "\n")


class FirstGradient(Callback):
    """Keeps the gradient of the first optimizer step, as it is after all processes have given their part.

    Args:
        file: written by the first process, gradients by the name of the weight.
    """

    def __init__(self, file: str) -> None:
        self.file = file

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if trainer.is_global_zero and trainer.global_step == 0:
            torch.save({name: p.grad for name, p in pl_module.named_parameters() if p.requires_grad}, self.file)


class FailsInTraining(Callback):
    """Fails as a defect would, in the first batch of some runs.

    Args:
        with_epochs: runs of so many epochs fail.
    """

    def __init__(self, with_epochs: int) -> None:
        self.with_epochs = with_epochs

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.max_epochs == self.with_epochs:
            raise RuntimeError("a defect")


class RankOptions(Callback):
    """Notes what each process trains with.

    Args:
        folder: `<rank>.json` is written here.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        rounds = next(one for one in trainer.callbacks if isinstance(one, I2CReweighting))
        options = {
            "learning_rate": pl_module.optimization.learning_rate,
            "beta": pl_module.loss.beta,
            "cap": rounds.pseudo_labels.cap,
            "folder": str(trainer.default_root_dir),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps(options))
