"""Progress over the questions of a benchmark."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm


class QuestionProgress(ProgressBar):
    """Progress bar over the questions of rank zero, advanced by chunks."""

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._bar: tqdm[Any] | None = None

    def disable(self) -> None:
        """Hide the bar; Lightning calls it on ranks other than zero."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar."""
        self._enabled = True

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar with the number of questions that are left."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        left = data.questions_left(trainer.global_rank, trainer.world_size)
        self._bar = tqdm(total=left, desc="answer", unit="question", disable=not self._enabled)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, loader: int = 0
    ) -> None:
        """Advance by the questions of a chunk."""
        if self._bar is not None:
            self._bar.update(len(batch.items))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar, so that the figures are printed below it."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the error is printed below it."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
