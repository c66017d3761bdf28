"""Progress over the questions of a benchmark."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from lightning_c3l.report.progress import Stage, stage


class QuestionProgress(ProgressBar):
    """Shows the questions of rank zero, advanced by chunks."""

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._stage: Stage | None = None

    def disable(self) -> None:
        """Show nothing."""
        self._enabled = False

    def enable(self) -> None:
        """Show progress."""
        self._enabled = True

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the stage with the number of questions that are left."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if self._enabled:
            self._stage = stage("answer", "questions", data.questions_left(trainer.global_rank, trainer.world_size))

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, loader: int = 0
    ) -> None:
        """Advance by the questions of a chunk."""
        if self._stage is not None:
            self._stage.update(len(batch.items))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the stage before the figures are printed."""
        self._close(finished=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the stage, so that the error is printed below it."""
        self._close(finished=False)

    def _close(self, finished: bool) -> None:
        if self._stage is not None:
            self._stage.close(finished)
            self._stage = None
