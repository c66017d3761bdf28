"""Chunks of a set whose pictures are decoded ahead, in processes of their own."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from PIL.Image import Image
from torch.utils.data import IterableDataset

from data_modules.loading.decode_pool import Decoded, DecodePool
from data_modules.loading.decoding import UnreadableImage
from lightning_c3l.lvlm.prefetch import prefetched
from lightning_c3l.lvlm.samples import Chunk, Illustrated
from lightning_c3l.runs.digests import content_digest

_I = TypeVar("_I", bound=Illustrated)


@dataclass
class WaitingChunk(Generic[_I]):
    """A chunk whose pictures are on their way.

    Attributes:
        number: its place among the chunks.
        items: what it holds.
        files: its pictures' files by key.
        pictures: those that have come.
        unreadable: those that will not come, with the reason.
    """

    number: int
    items: list[_I]
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

    def finished(self) -> Chunk[_I]:
        """With the items of unreadable pictures marked so."""
        return Chunk(self.number, [item.without(self.unreadable) for item in self.items], self.pictures)


class ChunkStream(IterableDataset[Chunk[_I]]):
    """The chunks of one process, the next one made while the last one is worked on.

    Args:
        chunks: gives them, from the first on.
    """

    def __init__(self, chunks: Callable[[], Iterator[Chunk[_I]]]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[Chunk[_I]]:
        """From the first on."""
        return prefetched(self.chunks())


def with_pictures(chunks: Iterable[WaitingChunk[_I]], pool: DecodePool) -> Iterator[Chunk[_I]]:
    """The chunks in their order, each when its pictures have been decoded; the pool works ahead of them."""
    waiting = deque[WaitingChunk[_I]]()

    def files() -> Iterator[tuple[tuple[WaitingChunk[_I], str], bytes | Path]]:
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


def picture_key(file: bytes | Path) -> str:
    """The same for the same file, so that all that is about one picture shares it."""
    return str(file) if isinstance(file, Path) else content_digest(file)
