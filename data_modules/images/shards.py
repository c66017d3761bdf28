"""Images inside WebDataset shards, by an index of their offsets."""

import gzip
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from data_modules.images.folders import EXTENSIONS, counted, ending
from data_modules.images.names import ImageNames
from data_modules.images.shard_files import GZIP_MAGIC, BoundedHeader, drain, expand, one_line, open_shard, split_member
from data_modules.loading.decoding import UnreadableImage
from lightning_c3l.report.progress import track
from lightning_c3l.runs.atomic import atomic_path

_COMPRESSED = (GZIP_MAGIC, b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
# no image file is larger; a member that claims to be would fill the memory
_MOST_BYTES = 1 << 30

# in a shard: offset and size in bytes
_Span = tuple[int, int]
T = TypeVar("T")


class ShardImages:
    """Images inside tar shards; each read opens the shard, so that processes can share one list of them.

    Attributes:
        passed_over: number of members that do not count as images, by the end of their names.

    Args:
        spans: by key, in order: the shard and the image's span in it; None for a file of that name in `spool`.
        spool: folder of the images that cannot be read from their shard directly.
        passed_over: see above.
    """

    root: Path | None = None

    def __init__(
        self, spans: Mapping[str, tuple[str, _Span] | None], spool: Path, passed_over: Counter[str] | None = None
    ) -> None:
        self._spans, self._spool = spans, spool
        self.passed_over = passed_over or Counter[str]()
        self._keys = tuple(spans)

    def keys(self) -> Sequence[str]:
        """Plain names, in the order of the shards."""
        return self._keys

    def raw(self, key: str) -> bytes | Path:
        """The image as it is in the archive.

        Raises:
            UnreadableImage: the shard is gone, or has become shorter.
        """
        span = self._spans[key]
        if span is None:
            return self._spool / key
        shard, (offset, size) = span
        try:
            with open(shard, "rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise UnreadableImage(f"{shard}: {error.strerror}") from error
        if len(data) < size:
            raise UnreadableImage(f"{shard} has become shorter since it was opened")
        return data


def open_shards(urls: str, spool: Path, limit: int | None = None) -> ShardImages:
    """List the image of every sample.

    Of a plain tar file only the headers are read. Compressed shards and the output of commands have no random access;
    their images are written to `spool`, each as a file of its own. Images keep their original bytes: nothing is
    decoded. Keys are the samples' names with everything but plain letters replaced, folders flattened; the same
    shards always give the same keys. Of a sample with several images the one with the shortest extension counts
    (`jpg` before `seg.png`). Links, devices, sparse members and members above 1 GiB are not images.

    Args:
        urls: path of a shard, with {000..009} braces or wildcards, or `pipe:` and a shell command.
        spool: folder for images of shards without random access; created when needed.
        limit: only the first so many images.

    Raises:
        ValueError: a shard is missing or damaged, or there is no image in any. A damaged shard is not skipped like a
            damaged image: it is usually half a download, to be mended before the run.
        OSError: `spool` cannot be written.
    """
    shards, names = expand(urls), ImageNames()
    spans: dict[str, tuple[str, _Span] | None] = {}
    others = Counter[str]()
    for shard in track(shards, "list images", "shards"):
        for name, found in _images(shard, others, is_pipe=urls.startswith("pipe:")):
            key = names.give(name)
            if isinstance(found, bytes):
                with atomic_path(spool / key) as temporary:
                    temporary.write_bytes(found)
            spans[key] = None if isinstance(found, bytes) else (shard, found)
            if len(spans) == limit:
                return ShardImages(spans, spool)
    if not spans:
        only = f", only {counted(others)}" if others else ""
        ends = " ".join(EXTENSIONS)
        raise ValueError(f"{urls}: no image in {len(shards)} shard(s){only}; members must end in {ends}")
    return ShardImages(spans, spool, others)


def _images(shard: str, others: Counter[str], is_pipe: bool) -> Iterator[tuple[str, bytes | _Span]]:
    """Name and span of each sample's image, or its bytes where the shard has no random access.

    Raises:
        ValueError: for whatever goes wrong with the shard, naming it.
    """
    with open_shard(shard, is_pipe) as stream:
        if is_pipe or isinstance(stream, gzip.GzipFile) or stream.peek(8).startswith(_COMPRESSED):
            yield from _one_per_sample(_guarded(shard, _streamed(stream, others)))
        else:
            yield from _one_per_sample(_guarded(shard, _indexed(stream, others)))


def _guarded(shard: str, members: Iterator[T]) -> Iterator[T]:
    try:
        yield from members
    except Exception as error:  # tar, gzip and the reader of a pipe each raise their own types
        raise ValueError(f"{shard}: damaged, or not a tar archive: {one_line(error)}") from error


def _indexed(stream: IO[bytes], others: Counter[str]) -> Iterator[tuple[str, _Span]]:
    with tarfile.open(fileobj=stream, mode="r:", tarinfo=BoundedHeader) as archive:
        for member in _image_members(archive, others):
            yield member.name, (member.offset_data, member.size)
        # tarfile takes a broken header after the first for the end of the archive
        stream.seek(cast(Any, archive).offset)
        if any(stream.read(tarfile.BLOCKSIZE)):
            raise tarfile.ReadError(f"broken header at byte {cast(Any, archive).offset}")


def _streamed(stream: Any, others: Counter[str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=stream, mode="r|*", tarinfo=BoundedHeader) as archive:
        for member in _image_members(archive, others):
            yield member.name, cast(IO[bytes], archive.extractfile(member)).read()
    drain(stream)


def _image_members(archive: tarfile.TarFile, others: Counter[str]) -> Iterator[tarfile.TarInfo]:
    offset = -1
    while (member := archive.next()) is not None:
        cast(Any, archive).members.clear()  # it would keep all of them
        if member.offset <= offset:  # a size below zero, which would go round for ever
            raise tarfile.ReadError(f"broken header at byte {offset}")
        offset = member.offset
        is_file = member.isreg() and not member.issparse() and member.size <= _MOST_BYTES
        if is_file and member.name.lower().endswith(EXTENSIONS):
            yield member
        elif is_file:
            others[ending(member.name)] += 1


def _one_per_sample(members: Iterator[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """Of neighbours with one key (the name up to its first dot) the image whose extension has the fewest dots."""
    sample: dict[str, tuple[str, T]] = {}
    current: str | None = None
    for name, found in members:
        if (member := split_member(name)) is None:
            continue
        key, extension = member
        if sample and (key != current or extension in sample):
            yield sample[min(sample, key=_dots)]
            sample = {}
        current = key
        sample[extension] = (name, found)
    if sample:
        yield sample[min(sample, key=_dots)]


def _dots(extension: str) -> int:
    return extension.count(".")
