"""How far the questions of a benchmark have been answered."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm


class QuestionProgress(ProgressBar):
    """A bar over the questions of the first process, which goes on by chunks."""

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._bar: tqdm[Any] | None = None

    def disable(self) -> None:
        """Of processes that are not the first."""
        self._enabled = False

    def enable(self) -> None:
        """The opposite."""
        self._enabled = True

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """With what is left of the questions."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        left = data.questions_left(trainer.global_rank, trainer.world_size)
        self._bar = tqdm(total=left, desc="answer", unit="question", disable=not self._enabled)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, loader: int = 0
    ) -> None:
        """A chunk's questions."""
        if self._bar is not None:
            self._bar.update(len(batch.items))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The figures come below it."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """So does the error."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
