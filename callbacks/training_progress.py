"""Progress over the batches of a training."""

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from lightning_c3l.report.progress import Stage, stage

# seconds between two looks at the logged figures: each waits for the device
_PAUSE = 1.0


class TrainingProgress(ProgressBar):
    """Shows the batches of each epoch, with the step and the first figure logged for progress bars, such as the loss.

    Args:
        name: what is trained, before the number of the epoch.
    """

    def __init__(self, name: str = "train") -> None:
        super().__init__()
        self.name = name
        self._enabled = True
        self._stage: Stage | None = None
        self._looked = 0.0

    def disable(self) -> None:
        """Show nothing."""
        self._enabled = False

    def enable(self) -> None:
        """Show progress."""
        self._enabled = True

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Begin the stage with the first batch, which a resumed epoch has behind it."""
        if self._stage is None and self._enabled:
            total = self.total_train_batches
            self._stage = stage(
                f"{self.name} epoch {trainer.current_epoch}",
                "batches",
                int(total) if total < float("inf") else None,
                done=batch_idx,
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance by a batch."""
        if self._stage is None:
            return
        if (now := time.monotonic()) - self._looked >= _PAUSE:
            self._looked = now
            self._stage.note = self._figures(trainer, pl_module)
        self._stage.update(batch_idx + 1 - self._stage.done)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the stage, with the figures of the epoch's end."""
        if self._stage is not None:
            self._stage.note = self._figures(trainer, pl_module)
        self._close(finished=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the stage, so that the error is printed below it."""
        self._close(finished=False)

    def _figures(self, trainer: Trainer, module: LightningModule) -> str:
        found = self.get_metrics(trainer, module)
        figures = [
            f"{name.rpartition('/')[2]} {value:.3g}" for name, value in found.items() if isinstance(value, int | float)
        ]
        return ", ".join([f"step {trainer.global_step}", *figures[:1]])

    def _close(self, finished: bool) -> None:
        if self._stage is not None:
            self._stage.close(finished)
            self._stage = None
