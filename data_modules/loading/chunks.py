"""Chunks of a set whose images are decoded ahead, in separate processes."""

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
    """A chunk whose images are being decoded.

    Attributes:
        number: its index among the chunks.
        items: its records or questions.
        files: its images' files by key.
        images: those that are decoded.
        unreadable: those that cannot be, with the reason.
    """

    number: int
    items: list[_I]
    files: dict[str, bytes | Path]
    images: dict[str, Image] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether every image is decoded or known to be unreadable."""
        return len(self.images) + len(self.unreadable) == len(self.files)

    def take(self, key: str, decoded: Decoded) -> None:
        """Add an image, or the reason why there is none."""
        if isinstance(decoded, UnreadableImage):
            self.unreadable[key] = decoded.reason
        else:
            self.images[key] = decoded

    def finished(self) -> Chunk[_I]:
        """The chunk, with the items of unreadable images marked."""
        return Chunk(self.number, [item.without(self.unreadable) for item in self.items], self.images)


class ChunkStream(IterableDataset[Chunk[_I]]):
    """The chunks of one process, the next one prepared while the last one is processed.

    Args:
        chunks: makes an iterator over all of them.
    """

    def __init__(self, chunks: Callable[[], Iterator[Chunk[_I]]]) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[Chunk[_I]]:
        return prefetched(self.chunks())


def with_images(chunks: Iterable[WaitingChunk[_I]], pool: DecodePool) -> Iterator[Chunk[_I]]:
    """Yield the chunks in order, each once its images are decoded; the pool works ahead."""
    waiting = deque[WaitingChunk[_I]]()

    def files() -> Iterator[tuple[tuple[WaitingChunk[_I], str], bytes | Path]]:
        for chunk in chunks:
            waiting.append(chunk)
            for key, file in chunk.files.items():
                yield (chunk, key), file

    for (chunk, key), decoded in pool.map(files()):
        chunk.take(key, decoded)
        # the last one may not have asked for all of its images yet
        while waiting and waiting[0].is_whole:
            yield waiting.popleft().finished()
    for chunk in waiting:
        yield chunk.finished()


def image_key(file: bytes | Path) -> str:
    """Key of an image file, the same for the same file, so that items about one image share it."""
    return str(file) if isinstance(file, Path) else content_digest(file)
