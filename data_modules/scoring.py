"""An existing instruction-tuning set as chunks to score: records in their order, pictures decoded ahead."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any

from lightning import LightningDataModule
from PIL.Image import Image
from torch.utils.data import DataLoader, IterableDataset

from data_modules.decode_pool import Decoded, DecodePool
from data_modules.decoding import UnreadableImage
from data_modules.formats import Entry, picture_file, read_records, to_conversation
from lightning_c3l.parts import Done, PartFiles
from lightning_c3l.prefetch import prefetched
from lightning_c3l.samples import ScoringChunk, ScoringItem

# records that are scored together, and shuffled among each other for the control; a process takes every n-th chunk
CHUNK = 32


@dataclass
class _Chunk:
    """A chunk whose pictures are on their way."""

    number: int
    items: list[ScoringItem]
    files: dict[str, bytes | Path]
    pictures: dict[str, Image] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether each picture has come, or is known not to come."""
        return len(self.pictures) + len(self.unreadable) == len(self.files)

    def take(self, key: str, decoded: Decoded) -> None:
        """A picture, or why there is none."""
        if isinstance(decoded, UnreadableImage):
            self.unreadable[key] = decoded.reason
        else:
            self.pictures[key] = decoded

    def finished(self) -> ScoringChunk:
        """With the records of unreadable pictures marked so."""
        return ScoringChunk(self.number, [item.without(self.unreadable) for item in self.items], self.pictures)


class ScoringDataModule(LightningDataModule):
    """Chunks of an instruction-tuning set, without those that have been scored before.

    Args:
        source: anything that `read_records` reads.
        root: folder that its image paths are relative to.
        parts: rows that are there already, and where the others will be.
        count: number of all records.
        workers: processes that decode pictures.
        longest_side: shrink larger pictures to this many pixels.
    """

    def __init__(
        self,
        source: str,
        root: Path | None,
        parts: PartFiles,
        count: int,
        workers: int = 2,
        longest_side: int | None = None,
    ) -> None:
        super().__init__()
        self.source, self.root, self.parts, self.done = source, root, parts, Done(count)
        self.workers, self.longest_side = workers, longest_side

    def predict_dataloader(self) -> DataLoader[Any]:
        """This process's chunks, the next one read while the last one is scored."""
        assert self.trainer is not None  # Lightning sets it
        # not before the first process has put away what is not to be gone on with
        self.trainer.strategy.barrier("scoring begins")
        self.done = self.parts.done(self.done.count)
        return DataLoader(ChunkStream(self, self.trainer.global_rank, self.trainer.world_size), batch_size=None)

    def records_left(self, rank: int, world: int) -> int:
        """Number of records that this process will score."""
        chunks = (n for n in range(_chunk(self.done.count) + 1) if n % world == rank and self._is_open(n))
        return sum(len(self._numbers(n)) for n in chunks)

    def chunks(self, rank: int, world: int) -> Iterator[ScoringChunk]:
        """Every `world`-th chunk that is not done, from number `rank` on, whole: scores depend on the neighbours."""

        def take(number: int) -> bool:
            return _chunk(number) % world == rank and self._is_open(_chunk(number))

        with DecodePool(self.workers, longest_side=self.longest_side) as pool:
            yield from with_pictures(self._chunks(read_records(self.source, take)), pool)

    def _chunks(self, entries: Iterable[Entry]) -> Iterator[_Chunk]:
        for number, own in groupby(entries, key=lambda entry: _chunk(entry.number)):
            files: dict[str, bytes | Path] = {}
            yield _Chunk(number, [self._item(entry, files) for entry in own], files)

    def _item(self, entry: Entry, files: dict[str, bytes | Path]) -> ScoringItem:
        """The record, its pictures' files put to the others."""
        record = entry.record
        if record is None:  # listed by whoever reads the set again
            return ScoringItem(entry.number, (), None, (), entry.reason)
        answers = tuple(place for place, message in enumerate(record.messages) if message.role == "assistant")
        try:
            conversation = to_conversation(record, entry.number)
            own = [picture_file(picture, self.root) for picture in record.pictures]
        except ValueError as error:
            return ScoringItem(entry.number, answers, None, (), str(error))
        keys = [_key(file) for file in own]
        files |= dict(zip(keys, own, strict=True))
        return ScoringItem(entry.number, answers, conversation, tuple(keys))

    def _is_open(self, chunk: int) -> bool:
        return any(number not in self.done for number in self._numbers(chunk))

    def _numbers(self, chunk: int) -> range:
        return range(chunk * CHUNK + 1, min((chunk + 1) * CHUNK, self.done.count) + 1)


class ChunkStream(IterableDataset[ScoringChunk]):
    """The chunks of one process."""

    def __init__(self, data: ScoringDataModule, rank: int, world: int) -> None:
        self.data, self.rank, self.world = data, rank, world

    def __iter__(self) -> Iterator[ScoringChunk]:
        """From the first on."""
        return prefetched(self.data.chunks(self.rank, self.world))


def with_pictures(chunks: Iterable[_Chunk], pool: DecodePool) -> Iterator[ScoringChunk]:
    """The chunks in their order, each when its pictures have been decoded; the pool works ahead of them."""
    waiting = deque[_Chunk]()

    def files() -> Iterator[tuple[tuple[_Chunk, str], bytes | Path]]:
        for chunk in chunks:
            waiting.append(chunk)
            for key, file in chunk.files.items():
                yield (chunk, key), file

    for (chunk, key), decoded in pool.map(files()):
        chunk.take(key, decoded)
        # the last one may not have asked for all of its pictures yet
        while waiting and waiting[0].is_whole:
            yield waiting.popleft().finished()
    for chunk in waiting:
        yield chunk.finished()


def _chunk(number: int) -> int:
    return (number - 1) // CHUNK


def _key(file: bytes | Path) -> str:
    """The same for the same file, so that records about one picture share it."""
    return str(file) if isinstance(file, Path) else blake2b(file, digest_size=16).hexdigest()
