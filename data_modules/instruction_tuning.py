"""Instruction-tuning records as batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn

from data_modules.images.scanning import RejectedList
from data_modules.loading.resumable import ResumableDataModule, ResumableLoader
from data_modules.loading.usable_batches import ReadRecords, TuningRecords, UsableBatches
from data_modules.tuning_sets import FileRecords
from lightning_c3l.functional.random_streams import combined_seed


class InstructionDataModule(ResumableDataModule):
    """Batches of VLIT records for `InstructionTuningModule`.

    Records that turn out to be unusable during training (a broken image, a conversation that is too long) are left out
    of their batch and listed in `rejected.jsonl` of the run, beside those that could not be read at all.

    Args:
        path: file with the records, in any format that `validate-data` reads; either this or `records`.
        images: folder that the file's image paths are relative to; as for `FileRecords` unless given.
        records: object that makes the records: `FileRecords` for a file whose records are weighted by their scores,
            `MixedRecords` for several files.
        batch_size: records per batch in each process.
        shuffle: whether records come in a new order each epoch; those of a mixture always do.
        num_workers: processes that read and prepare records.
        read_as: dialect of your own that the file at `path` is in, `module.Class` (docs/extending/dialect.md).

    Raises:
        ValueError: both or neither of `path` and `records` are given, or the file cannot be trained on.
    """

    def __init__(
        self,
        path: str | None = None,
        images: str | None = None,
        records: TuningRecords | None = None,
        batch_size: int = 16,
        shuffle: bool = True,
        num_workers: int = 0,
        read_as: str | None = None,
    ) -> None:
        super().__init__(batch_size, num_workers)
        if (path is None) == (records is None):
            raise ValueError("give either path (a file of records) or records (an object that makes them)")
        self.records: Any = records if path is None else FileRecords(path, images, read_as=read_as)
        self.shuffle = shuffle
        self._is_listed = False

    @property
    def location(self) -> str:
        """Where the records come from."""
        return str(getattr(self.records, "path", type(self.records).__name__))

    @property
    def digest(self) -> str:
        """Digest of the records, '' if they have none: a resumed run must use the same."""
        return str(getattr(self.records, "digest", ""))

    def train_dataloader(self) -> ResumableLoader:
        """Batches, encoded by the function that the module has handed over."""
        if self.trainer is None:
            raise RuntimeError("the datamodule is used by a Trainer")
        path = Path(self.trainer.default_root_dir) / "rejected.jsonl"
        # once, and not before training: a start that is refused leaves the run folder as it was
        rejected, self._is_listed = [] if self._is_listed else getattr(self.records, "rejected", []), True
        if rejected and self.trainer.is_global_zero:
            RejectedList(path).add(rejected)
            rank_zero_warn(f"{len(rejected)} records are left out, listed in {path}; the first: {rejected[0].reason}")
        return self.resumable_loader(
            ReadRecords(self.records), self._order, UsableBatches(self.records, self.collate(), path)
        )

    def _order(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(combined_seed(self._seed, epoch))
        draws: Callable[[torch.Generator], list[int]] | None = getattr(self.records, "draws", None)
        if draws is not None:
            return draws(generator)
        if not self.shuffle:
            return list(range(len(self.records)))
        shuffled: list[int] = torch.randperm(len(self.records), generator=generator).tolist()
        return shuffled
