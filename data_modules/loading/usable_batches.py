"""Batches without the records that prove unusable during training."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from data_modules.images.sources import list_rejected
from data_modules.loading.decoding import UnreadableImage
from lightning_c3l.lvlm.base import ConversationError, ImageError
from lightning_c3l.lvlm.samples import TuningSample
from lightning_c3l.records import RejectedImage

# records tried when a batch is empty and no record was usable so far
_TRIES = 20

# a record's place among the records, and the record or why it has no pictures
Item = tuple[int, TuningSample | UnreadableImage]


class ReadRecords(Dataset[Item]):
    """The records, or the error for those whose pictures cannot be read.

    Args:
        records: indexable, gives a conversation and its pictures.
    """

    def __init__(self, records: Any) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, number: int) -> Item:
        """A record; nothing is raised for a picture that cannot be read."""
        try:
            return number, self.records[number]
        except UnreadableImage as error:
            return number, error


class UsableBatches:
    """Collate function that leaves out what cannot be read or encoded, and lists it.

    Records that are left out are not replaced. All processes must go through the same number of batches, so an empty
    batch becomes one record without target tokens, which adds nothing to loss and gradient.

    Args:
        records: where the batches come from.
        encode: makes a batch of samples, a dataclass with the field `target`.
        rejected: file that lists what is left out.
    """

    def __init__(self, records: Any, encode: Callable[[Sequence[TuningSample]], Any], rejected: Path) -> None:
        self._records, self._encode, self._rejected = records, encode, rejected
        self._spare: TuningSample | None = None

    def __call__(self, items: Sequence[Item]) -> Any:
        """The batch.

        Raises:
            ValueError: no record of the batch is usable, nor is any other that was tried.
        """
        for number, found in items:
            if isinstance(found, UnreadableImage):
                self._list(number, found.reason)
        samples = [(number, found) for number, found in items if not isinstance(found, UnreadableImage)]
        try:
            batch = self._encode([sample for _, sample in samples]) if samples else None
        except (ConversationError, ImageError):
            samples = [(number, sample) for number, sample in samples if self._takes(number, sample)]
            batch = self._encode([sample for _, sample in samples]) if samples else None
        if batch is None:
            batch = self._encode([self._any_record()])
            return replace(batch, target=torch.zeros_like(batch.target))
        self._spare = samples[0][1]
        return batch

    def _takes(self, number: int, sample: TuningSample) -> bool:
        try:
            self._encode([sample])
        except (ConversationError, ImageError) as error:
            self._list(number, str(error))
            return False
        return True

    def _any_record(self) -> TuningSample:
        if self._spare is None:
            for number in range(min(_TRIES, len(self._records))):
                with suppress(UnreadableImage, ConversationError, ImageError):
                    self._encode([self._records[number]])
                    self._spare = self._records[number]
                    break
            else:
                raise ValueError(f"no record can be used; look at the reasons in {self._rejected}")
        return self._spare

    def _list(self, number: int, reason: str) -> None:
        rejected = RejectedImage(self._records.name(number), reason)
        if list_rejected(self._rejected, [rejected]):
            warnings.warn(f"{rejected.key}: {reason}; left out, listed in {self._rejected}", stacklevel=2)
