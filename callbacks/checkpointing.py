"""`checkpoints/last.ckpt`: one file, always complete, which a run resumes from."""

import os
import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_info

from callbacks.interruption import Interruption
from callbacks.order import Order
from lightning_c3l.distributed import collectives
from lightning_c3l.runs.atomic import atomic_path, sync_folder, sync_tree
from lightning_c3l.runs.checkpoint_files import save_checkpoint
from lightning_c3l.runs.folder import LAST, OLD

_FRESH = LAST.with_name(".tmp-last.ckpt")


def save_last(trainer: Trainer) -> None:
    """Write the checkpoint that the run resumes from, if checkpoints are enabled.

    Every rank must call it, between two optimizer steps. Some strategies write a folder, which cannot be replaced
    atomically: for a moment only the old one exists, under another name.
    """
    wanted = any(isinstance(one, Checkpointing) and one.every for one in trainer.callbacks)  # type: ignore[attr-defined]
    if not wanted or trainer.fast_dev_run:  # type: ignore[attr-defined]
        return
    folder = Path(trainer.default_root_dir)
    trainer.save_checkpoint(folder / _FRESH, weights_only=False)
    if collectives.is_rank_zero():
        fresh, last, old = folder / _FRESH, folder / LAST, folder / OLD
        if fresh.is_dir() or last.is_dir():
            # the strategy wrote it without waiting for the disk
            sync_tree(fresh)
            _remove(old)
            if last.exists():
                os.replace(last, old)
        os.replace(fresh, last)
        sync_folder(last.parent)
        _remove(old)
    collectives.barrier()


def is_stopping(trainer: Trainer) -> bool:
    """Whether training ends before the next batch: `max_steps` or `max_time` is reached, or a callback asked for it."""
    steps_done = 0 <= trainer.max_steps <= trainer.global_step
    return steps_done or (trainer.should_stop and trainer.fit_loop._can_stop_early)


class WholeFile(TorchCheckpointIO):
    """Writes to a temporary file beside the target and renames it; Lightning uses the system's temporary folder."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write the checkpoint with its digest, completely or not at all."""
        # torch does not report a full disk for a file that it opens itself
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            save_checkpoint(checkpoint, file)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = lambda storage, _: storage, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load weights and plain values only, whatever `weights_only` says: other objects could run code.

        Raises:
            ValueError: if the file holds other objects, or is no checkpoint of Lightning; names it.
        """
        try:
            loaded = super().load_checkpoint(path, map_location, weights_only=True)
        except UnpicklingError as error:
            raise ValueError(f"{path}: holds more than weights and plain values, which could run code") from error
        except (RuntimeError, EOFError, KeyError) as error:  # torch's, for archives that it did not write
            raise ValueError(f"{path}: no checkpoint, or a damaged one") from error
        if not isinstance(loaded, dict) or not {"pytorch-lightning_version", "global_step"} <= loaded.keys():
            raise ValueError(f"{path}: no checkpoint of a run")
        return loaded


class Checkpointing(Checkpoint):
    """Writes checkpoints, and ends a run that was told to stop; must be the last callback.

    Args:
        every: optimizer steps between two writings inside an epoch; 0 writes no checkpoint at all.
        interruption: knows whether the run was told to stop.
    """

    order = Order.CHECKPOINT

    def __init__(self, every: int, interruption: Interruption) -> None:
        self.every, self.interruption = every, interruption
        self._before = 0
        self._stop_at_step = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember the step: a batch need not end with an optimizer step."""
        self._before = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write only between two optimizer steps: accumulated gradients are in no checkpoint."""
        if trainer.global_step == self._before:
            if not trainer.is_last_batch:
                # training that stopped here would lose the batches since the last step
                self._stop_at_step |= trainer.should_stop
                trainer.should_stop = False
            return
        trainer.should_stop |= self._stop_at_step
        self._stop_at_step = False
        reason = self.interruption.agreed()
        due = self.every and trainer.global_step % self.every == 0
        if not (due or reason is not None or is_stopping(trainer)):
            return
        # the last step of a run that was told to stop is logged, whatever `log_every_n_steps` says
        trainer.should_stop |= reason is not None
        _log_step(trainer)
        # at an epoch's last batch Lightning would take the epoch for done, and leave out the hooks in which the next
        # round is made: the end of the epoch is about to write one, and a run that is interrupted here goes on from
        # the checkpoint before
        if not trainer.is_last_batch:
            save_last(trainer)
        if reason is not None:
            self.interruption.leave(reason)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoint with what the other callbacks did in this epoch, such as the next round.

        If training stopped in the middle of the epoch, Lightning counts the epoch as done all the same. The checkpoint
        of the last step does not, and is kept: a run resumed from it trains on the rest.
        """
        if trainer.is_last_batch:
            save_last(trainer)
        elif self.every:
            loop = trainer.fit_loop.epoch_loop
            rank_zero_info(
                f"stopped after {loop.batch_progress.current.ready} of {trainer.num_training_batches} batches of epoch "
                f"{trainer.current_epoch}; --ckpt_path last goes on with the rest"
            )


def _log_step(trainer: Trainer) -> None:
    """Log a step before the checkpoint that covers it: a run killed in between does not make the step again.

    Lightning logs it after the hook `on_train_batch_end`, which is left out this once.
    """
    connector = trainer._logger_connector

    def is_logged() -> None:
        del connector.update_train_step_metrics

    connector.update_train_step_metrics()
    # hides the method of the class until it is deleted
    connector.update_train_step_metrics = is_logged  # type: ignore[method-assign]


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
