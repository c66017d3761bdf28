"""An existing instruction-tuning set as chunks to score: records in their order, images decoded ahead."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from data_modules.formats import Entry, image_file, read_records, to_conversation
from data_modules.loading.chunks import ChunkStream, WaitingChunk, image_key, with_images
from data_modules.loading.decode_pool import DecodePool
from lightning_c3l.lvlm.samples import ScoringChunk, ScoringItem
from lightning_c3l.runs.row_files import Done
from lightning_c3l.runs.row_jobs import RowJob

# records that are scored together, and shuffled among each other for the control; a process takes every n-th chunk
CHUNK = 32


class ScoringDataModule(LightningDataModule):
    """Chunks of an instruction-tuning set, without those that have been scored before.

    Args:
        source: anything that `read_records` reads.
        root: folder that its image paths are relative to.
        job: has the rows that are there already, and takes the others.
        count: number of all records.
        workers: processes that decode images.
        longest_side: shrink larger images to this many pixels.
        read_as: as of `read_records`.
    """

    def __init__(
        self,
        source: str,
        root: Path | None,
        job: RowJob,
        count: int,
        workers: int = 2,
        longest_side: int | None = None,
        read_as: str | None = None,
    ) -> None:
        super().__init__()
        self._read_as = read_as
        self.source, self.root, self.job, self.done = source, root, job, Done(count)
        self.workers, self.longest_side = workers, longest_side

    def predict_dataloader(self) -> DataLoader[Any]:
        """This process's chunks, the next one read while the last one is scored."""
        assert self.trainer is not None  # Lightning sets it
        self.done = self.job.begin_numbered(self.done.count, "records")
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(ChunkStream(lambda: self.chunks(rank, world)), batch_size=None)

    def records_left(self, rank: int, world: int) -> int:
        """Number of records that this process will score."""
        return sum(map(len, self._unfinished(rank, world)))

    def chunks(self, rank: int, world: int) -> Iterator[ScoringChunk]:
        """Every `world`-th chunk that is not done, from number `rank` on, whole: scores depend on the neighbours."""
        wanted = {_chunk(numbers.start) for numbers in self._unfinished(rank, world)}
        entries = read_records(self.source, lambda number: _chunk(number) in wanted, self._read_as)
        with DecodePool(self.workers, longest_side=self.longest_side) as pool:
            yield from with_images(self._waiting(entries), pool)

    def _unfinished(self, rank: int, world: int) -> Iterator[range]:
        """The numbers of the records of each chunk of this process that is not done."""
        for start in range(rank * CHUNK + 1, self.done.count + 1, world * CHUNK):
            numbers = range(start, min(start + CHUNK, self.done.count + 1))
            if any(number not in self.done for number in numbers):
                yield numbers

    def _waiting(self, entries: Iterable[Entry]) -> Iterator[WaitingChunk[ScoringItem]]:
        for number, own in groupby(entries, key=lambda entry: _chunk(entry.number)):
            files: dict[str, bytes | Path] = {}
            yield WaitingChunk(number, [self._item(entry, files) for entry in own], files)

    def _item(self, entry: Entry, files: dict[str, bytes | Path]) -> ScoringItem:
        """The record, its images' files put to the others."""
        record = entry.record
        if record is None:  # listed by whoever reads the set again
            return ScoringItem(entry.number, (), None, (), entry.reason)
        answers = tuple(index for index, message in enumerate(record.messages) if message.role == "assistant")
        try:
            conversation = to_conversation(record, entry.number)
            own = [image_file(image, self.root) for image in record.images]
        except ValueError as error:
            return ScoringItem(entry.number, answers, None, (), str(error))
        keys = [image_key(file) for file in own]
        files |= dict(zip(keys, own, strict=True))
        return ScoringItem(entry.number, answers, conversation, tuple(keys))


def _chunk(number: int) -> int:
    return (number - 1) // CHUNK
