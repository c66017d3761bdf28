"""Batches without the records that prove unusable during training."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import Dataset

from data_modules.images.scanning import RejectedList
from data_modules.loading.decoding import UnreadableImage
from lightning_c3l.lvlm.base import ConversationError, ImageError
from lightning_c3l.lvlm.samples import TuningSample
from lightning_c3l.records import RejectedImage

# records tried when a batch is empty and no record was usable so far
_TRIES = 20

# a record's index, and the record or the reason why its images cannot be read
Item = tuple[int, TuningSample | UnreadableImage]


class TuningRecords(Protocol):
    """Records to train on, each a conversation with its images."""

    def __len__(self) -> int:
        """Number of records."""

    def __getitem__(self, index: int) -> TuningSample:
        """One record.

        Raises:
            UnreadableImage: one of its images cannot be read.
        """

    def name(self, index: int) -> str:
        """What a record is called in the list of rejected ones."""


class ReadRecords(Dataset[Item]):
    """The records with their indices, or the error in place of those whose images cannot be read."""

    def __init__(self, records: TuningRecords) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Item:
        """A record; an image that cannot be read raises nothing."""
        try:
            return index, self.records[index]
        except UnreadableImage as error:
            return index, error


class UsableBatches:
    """Collate function that leaves out what cannot be read or encoded, and lists it.

    Records that are left out are not replaced. All processes must go through the same number of batches, so an empty
    batch becomes one record without target tokens, which adds nothing to loss and gradient.

    Args:
        records: what the batches are drawn from.
        encode: makes a batch of samples, a dataclass with the field `target`.
        rejected: file that lists what is left out.
    """

    def __init__(self, records: TuningRecords, encode: Callable[[list[TuningSample]], Any], rejected: Path) -> None:
        self._records, self._encode, self._rejected = records, encode, RejectedList(rejected)
        self._spare: TuningSample | None = None

    def __call__(self, items: Sequence[Item]) -> Any:
        """The batch.

        Raises:
            ValueError: no record of the batch is usable, nor is any other that was tried.
        """
        usable = list[tuple[int, TuningSample]]()
        for index, found in items:
            if isinstance(found, UnreadableImage):
                self._reject(index, found.reason)
            else:
                usable.append((index, found))
        try:
            batch = self._encode([sample for _, sample in usable]) if usable else None
        except (ConversationError, ImageError):
            usable = [(index, sample) for index, sample in usable if self._is_encodable(index, sample)]
            batch = self._encode([sample for _, sample in usable]) if usable else None
        if batch is None:
            batch = self._encode([self._any_record()])
            return replace(batch, target=torch.zeros_like(batch.target))
        self._spare = usable[0][1]
        return batch

    def _is_encodable(self, index: int, sample: TuningSample) -> bool:
        try:
            self._encode([sample])
        except (ConversationError, ImageError) as error:
            self._reject(index, str(error))
            return False
        return True

    def _any_record(self) -> TuningSample:
        for index in range(min(_TRIES, len(self._records)) if self._spare is None else 0):
            with suppress(UnreadableImage, ConversationError, ImageError):
                self._encode([self._records[index]])
                self._spare = self._records[index]
                break
        if self._spare is None:
            raise ValueError(f"no record can be used; look at the reasons in {self._rejected.path}")
        return self._spare

    def _reject(self, index: int, reason: str) -> None:
        rejected = RejectedImage(self._records.name(index), reason)
        if self._rejected.add([rejected]):
            warnings.warn(f"{rejected.key}: {reason}; left out, listed in {self._rejected.path}", stacklevel=2)
