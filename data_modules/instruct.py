"""Instruction-tuning records as batches."""

from pathlib import Path
from typing import Any, Protocol, cast

from lightning import LightningDataModule
from PIL.Image import Image
from torch.utils.data import DataLoader

from data_modules.formats import read_llava_json
from data_modules.images import decode_rgb
from lightning_c3l.conversations import Conversation

Sample = tuple[Conversation, Image | None]


class Records(Protocol):
    """Anything indexable that gives a conversation and its picture."""

    def __len__(self) -> int:
        """Number of records."""

    def __getitem__(self, number: int) -> Sample:
        """One record."""


class FileRecords:
    """The records of a LLaVA JSON file with its pictures.

    Args:
        path: the file.
        images: folder that its image paths are relative to; the file's own folder unless given.
    """

    def __init__(self, path: str, images: str | None = None) -> None:
        self.root = Path(images) if images is not None else Path(path).parent
        self.conversations = read_llava_json(Path(path), self.root)

    def __len__(self) -> int:
        return len(self.conversations)

    def __getitem__(self, number: int) -> Sample:
        conversation = self.conversations[number]
        return conversation, None if conversation.image is None else decode_rgb(self.root / conversation.image)


class InstructionDataModule(LightningDataModule):
    """Batches of VLIT records for `InstructionTuningModule`.

    Args:
        path: a LLaVA JSON file with the records; either this or `records`.
        records: an object that makes them.
        images: folder that the file's image paths are relative to; the file's own folder unless given.
        batch_size: records a batch.
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
            raise ValueError("give either path (a LLaVA JSON file) or records (an object that makes them)")
        self.records: Any = records if path is None else FileRecords(path, images)
        self.batch_size, self.shuffle, self.num_workers = batch_size, shuffle, num_workers

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches, encoded by the module."""
        if self.trainer is None:
            raise RuntimeError("the datamodule is used by a Trainer")
        return DataLoader(
            self.records,
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            num_workers=self.num_workers,
            collate_fn=cast(Any, self.trainer.lightning_module).encode,
            drop_last=False,
        )
