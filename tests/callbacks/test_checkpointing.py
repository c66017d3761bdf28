"""`last.ckpt` is whole at any instant, and is written between two optimizer steps."""

import csv
import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from callbacks.checkpointing import Checkpointing, WholeFile, save_last
from callbacks.interruption import Interruption
from callbacks.metrics_file import MetricsFile
from callbacks.round_logger import RoundLogger
from lightning_c3l.runs.folder import LAST, OLD, last_checkpoint


class Toy(LightningModule):
    """One weight that counts its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        return -self.weight

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Steps(Callback):
    """Optimizer steps in the checkpoint, after each batch and each epoch."""

    def __init__(self) -> None:
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.seen.append(self.steps(trainer))

    def on_train_end(self, trainer, pl_module) -> None:
        self.seen.append(self.steps(trainer))

    @staticmethod
    def steps(trainer) -> int | None:
        path = Path(trainer.default_root_dir) / LAST
        return int(torch.load(path, weights_only=True)["global_step"]) if path.exists() else None


def trainer_of(folder: Path, every: int, *callbacks: Callback, **options) -> Trainer:
    interruption = Interruption(["python", "-m", "lightning_c3l", "fit", "--config", "a.yaml"])
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        callbacks=[interruption, *callbacks, Checkpointing(every, interruption)],
        plugins=[WholeFile()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def batches(count: int) -> DataLoader:
    return DataLoader(range(count), batch_size=1)


def test_written_every_so_many_optimizer_steps_and_at_the_end_of_each_epoch(tmp_path):
    steps = Steps()
    # steps after batches 2, 4, 6 and 7 of each epoch
    trainer_of(tmp_path, 2, steps, max_epochs=2, accumulate_grad_batches=2).fit(Toy(), batches(7))
    assert steps.seen == [None] * 4 + [2] * 3 + [4] * 4 + [6] * 3 + [8]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["last.ckpt"]


def test_where_none_are_wanted_none_are_written(tmp_path):
    trainer_of(tmp_path, 0, max_epochs=1).fit(Toy(), batches(2))
    trainer_of(tmp_path, 1, fast_dev_run=True).fit(Toy(), batches(2))
    assert not list(tmp_path.rglob("*.ckpt"))


def test_training_goes_on_from_it(tmp_path):
    class Stop(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            if trainer.global_step == 3:
                raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        trainer_of(tmp_path, 1, Stop(), max_epochs=1).fit(Toy(), batches(5))
    module = Toy()
    trainer = trainer_of(tmp_path, 1, max_epochs=1)
    trainer.fit(module, batches(5), ckpt_path=last_checkpoint(tmp_path), weights_only=True)
    assert (float(module.weight), trainer.global_step) == (5.0, 5)


class Killed(Toy):
    """Logs the number of each step, and fails after a step's callbacks, which is before Lightning logs the step."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def training_step(self, batch, batch_idx):
        self.log("number", float(self.trainer.global_step))
        return super().training_step(batch, batch_idx)

    def on_train_batch_end(self, outputs, batch, batch_idx) -> None:
        if self.trainer.global_step == self.after:
            raise ValueError("killed")


@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_step_is_logged_before_the_checkpoint_that_covers_it_and_once(tmp_path, accumulated):
    def fit(after: int) -> None:
        more = {"max_epochs": 2, "log_every_n_steps": 1, "accumulate_grad_batches": accumulated}
        trainer = trainer_of(tmp_path, 2, RoundLogger(), **more)
        trainer.loggers = [MetricsFile(tmp_path, name="", version="", flush_logs_every_n_steps=1)]
        trainer.fit(Killed(after), batches(5 * accumulated), ckpt_path=last_checkpoint(tmp_path), weights_only=True)

    for after in (4, 8):
        with pytest.raises(ValueError, match="killed"):
            fit(after)
        assert Steps.steps(SimpleNamespace(default_root_dir=tmp_path)) == after
    fit(-1)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = [(int(row["step"]), float(row["number"])) for row in csv.DictReader(file)]
    assert rows == [(step, float(step)) for step in range(10)]


def test_a_full_disk_leaves_the_old_file_whole(tmp_path, monkeypatch):
    trainer_of(tmp_path, 1, max_epochs=1).fit(Toy(), batches(2))
    before = (tmp_path / LAST).read_bytes()

    def full(obj, file) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"No space left on device: .*last\.ckpt"):
        trainer_of(tmp_path, 1, max_epochs=1).fit(Toy(), batches(2))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]
    assert (tmp_path / LAST).read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_torch_says_that_a_disk_is_full_as_expected():
    with pytest.raises(OSError, match="No space left on device"), Path("/dev/full").open("wb") as file:
        torch.save({"weight": torch.zeros(100_000)}, file)


def test_a_checkpoint_that_is_a_folder_is_never_missing(tmp_path, monkeypatch):
    written = []

    def save(path: Path, weights_only: bool) -> None:
        path.mkdir()
        (path / "shard").write_text(str(len(written)))
        written.append(path)

    interruption = Interruption([])
    trainer = SimpleNamespace(
        default_root_dir=tmp_path, callbacks=[Checkpointing(1, interruption)], fast_dev_run=False, save_checkpoint=save
    )
    (tmp_path / "checkpoints").mkdir()
    moved, there, synced, sync = os.replace, [], [], os.fsync

    def watched(source: Path, target: Path) -> None:
        moved(source, target)
        there.append((last_checkpoint(tmp_path) / "shard").read_text())
        if target == tmp_path / LAST:
            # shard and folder are on the disk before the rename
            assert len(synced) == 2
            synced.clear()

    monkeypatch.setattr(os, "replace", watched)
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(number), sync(number)))
    for _ in range(3):
        save_last(trainer)
        # and the rename after it
        assert len(synced) == 1
        synced.clear()
    # after each rename: the first, then the old one and the new one
    assert there == ["0", "0", "1", "1", "2"]
    assert not (tmp_path / OLD).exists()
