"""Instruction-tuning records as batches."""

from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning import LightningDataModule

from data_modules.decoding import decode_rgb
from data_modules.formats import image_root, read_conversations
from data_modules.round_loader import Place, ResumableLoader
from lightning_c3l.samples import TuningSample


class Records(Protocol):
    """Anything indexable that gives a conversation and its pictures."""

    def __len__(self) -> int:
        """Number of records."""

    def __getitem__(self, number: int) -> TuningSample:
        """One record."""


class FileRecords:
    """The records of a file, in any format that `data_modules.formats` reads, with their pictures.

    The conversations are kept in memory, a picture is read when it is asked for.

    Args:
        path: the file; one that carries its images is refused, since they would all be kept.
        images: folder that its image paths are relative to; unless given, the one that `<stem>.meta.json` names, or
            the file's own.
    """

    def __init__(self, path: str, images: str | None = None) -> None:
        self.root = image_root(path, Path(images) if images is not None else None)
        self.conversations = read_conversations(path, self.root)

    def __len__(self) -> int:
        return len(self.conversations)

    def __getitem__(self, number: int) -> TuningSample:
        conversation = self.conversations[number]
        pictures = tuple(decode_rgb(self.root / image) for image in conversation.images)
        return conversation, pictures[0] if isinstance(conversation.image, str) else pictures or None


class InstructionDataModule(LightningDataModule):
    """Batches of VLIT records for `InstructionTuningModule`.

    Args:
        path: a file with the records (JSON, JSONL, Parquet); either this or `records`.
        records: an object that makes them.
        images: folder that the file's image paths are relative to; as for `FileRecords` unless given.
        batch_size: records a batch of each process.
        shuffle: draw them in a new order each epoch.
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
        self._place = Place()

    def train_dataloader(self) -> ResumableLoader:
        """Batches, encoded by the module."""
        if self.trainer is None:
            raise RuntimeError("the datamodule is used by a Trainer")
        return self._place.loader(self.records, self._order, self.batch_size, self.num_workers, self.trainer)

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch."""
        return self._place.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on there."""
        self._place.load_state_dict(state_dict)

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(len(self.records)))
        seed = getattr(cast(Any, self.trainer).lightning_module, "seed", 0)
        generator = torch.Generator().manual_seed(hash((seed, epoch)) % 2**31)
        mixed: list[int] = torch.randperm(len(self.records), generator=generator).tolist()
        return mixed
