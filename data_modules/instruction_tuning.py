"""Instruction-tuning records as batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_warn

from data_modules.images.sources import list_rejected
from data_modules.loading.round_loader import Place, ResumableLoader
from data_modules.loading.usable_batches import ReadRecords, UsableBatches
from data_modules.tuning_sets import FileRecords
from lightning_c3l.lvlm.samples import TuningSample


class Records(Protocol):
    """Anything indexable that gives a conversation and its pictures."""

    def __len__(self) -> int:
        """Number of records."""

    def __getitem__(self, number: int) -> TuningSample:
        """One record.

        Raises:
            UnreadableImage: one of its pictures cannot be read.
        """

    def name(self, number: int) -> str:
        """What to call a record that is left out."""


class InstructionDataModule(LightningDataModule):
    """Batches of VLIT records for `InstructionTuningModule`.

    Records that turn out to be unusable while they are trained on (a broken picture, a conversation that is too long)
    are left out of their batch and listed in `rejected.jsonl` of the run, beside those that could not be read at all.

    Args:
        path: a file with the records, in any format that the project reads; either this or `records`.
        records: an object that makes them: `data_modules.tuning_sets.FileRecords` for a file whose records are weighed
            by their scores, `MixedRecords` for several files.
        images: folder that the file's image paths are relative to; as for `FileRecords` unless given.
        batch_size: records a batch of each process.
        shuffle: draw them in a new order each epoch; a mixture always does.
        num_workers: processes that read and prepare them.
    """

    def __init__(
        self,
        path: str | None = None,
        images: str | None = None,
        records: Records | None = None,
        batch_size: int = 16,
        shuffle: bool = True,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if (path is None) == (records is None):
            raise ValueError("give either path (a file of records) or records (an object that makes them)")
        self.records: Any = records if path is None else FileRecords(path, images)
        self.batch_size, self.shuffle, self.num_workers = batch_size, shuffle, num_workers
        self._place, self._is_listed = Place(), False

    @property
    def location(self) -> str:
        """Where the records come from."""
        return str(getattr(self.records, "path", type(self.records).__name__))

    @property
    def digest(self) -> str:
        """Of what the records say, as far as they can tell: a resumed run must go on with the same."""
        return str(getattr(self.records, "digest", ""))

    def train_dataloader(self) -> ResumableLoader:
        """Batches, encoded by the module."""
        if self.trainer is None:
            raise RuntimeError("the datamodule is used by a Trainer")
        self._list_rejected()
        collate = UsableBatches(self.records, cast(Any, self.trainer.lightning_module).encode, self._rejected())
        records = ReadRecords(self.records)
        return self._place.loader(records, self._order, self.batch_size, self.num_workers, self.trainer, collate)

    def _list_rejected(self) -> None:
        """Once, and not before training: a start that is refused leaves the run folder as it was."""
        rejected, self._is_listed = [] if self._is_listed else getattr(self.records, "rejected", []), True
        if rejected and cast(Any, self.trainer).is_global_zero:
            path = self._rejected()
            list_rejected(path, rejected)
            rank_zero_warn(f"{len(rejected)} records are left out, listed in {path}; the first: {rejected[0].reason}")

    def _rejected(self) -> Path:
        return Path(cast(Any, self.trainer).default_root_dir) / "rejected.jsonl"

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch."""
        return self._place.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on there."""
        self._place.load_state_dict(state_dict)

    def _order(self, epoch: int) -> list[int]:
        seed = getattr(cast(Any, self.trainer).lightning_module, "seed", 0)
        generator = torch.Generator().manual_seed(hash((seed, epoch)) % 2**31)
        draws: Callable[[torch.Generator], list[int]] | None = getattr(self.records, "draws", None)
        if draws is not None:
            return draws(generator)
        if not self.shuffle:
            return list(range(len(self.records)))
        mixed: list[int] = torch.randperm(len(self.records), generator=generator).tolist()
        return mixed
