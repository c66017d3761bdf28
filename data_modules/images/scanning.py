"""Which images of a source can be read, and the list of those that cannot."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from json import dumps, loads
from pathlib import Path

from data_modules.images.sources import EncodedImages
from data_modules.loading.decode_pool import DecodePool, scan_workers
from data_modules.loading.decoding import UnreadableImage
from data_modules.loading.samplers import share
from lightning_c3l.distributed import collectives
from lightning_c3l.records import RejectedImage
from lightning_c3l.report.progress import track
from lightning_c3l.rounds.protocols import ImageSource
from lightning_c3l.runs.atomic import write_text_atomic
from lightning_c3l.runs.digests import content_digest, file_digest


def scan(
    source: ImageSource, keys: Sequence[str], digests: dict[str, str] | None = None
) -> tuple[list[str], list[RejectedImage]]:
    """Read every image once, so that no later reading fails.

    Image files are decoded in separate processes, however few they are: in this one a file on which a decoder hangs
    would stop the run. Starting them takes a quarter of a second.

    Args:
        source: where the images are.
        keys: the images.
        digests: filled with the digest of each readable image: of its file as just read, or of a drawn image.

    Returns:
        The keys that can be read, and the others with their reasons, both in the order of `keys`.
    """
    readable: list[str] = []
    rejected: list[RejectedImage] = []
    for key, error in track(_errors(source, keys), "check images", "images", len(keys)):
        if error is None and digests is not None:
            try:
                digests[key] = _digest(source, key)
            except (UnreadableImage, OSError) as gone:
                error = UnreadableImage(str(gone))
        if error is None:
            readable.append(key)
        else:
            rejected.append(RejectedImage(key, error.reason))
    return readable, rejected


def scan_shared(
    source: ImageSource, keys: Sequence[str], digests: dict[str, str] | None = None
) -> tuple[list[str], list[RejectedImage]]:
    """The result of `scan`, each process having read its share of the images. Collective.

    Args:
        source: where the images are.
        keys: the images, the same in all processes.
        digests: as for `scan`.

    Returns:
        In every process, the keys that can be read and the others with their reasons, both in the order of `keys`.
    """
    own = share(len(keys), collectives.rank(), collectives.world())
    found = None if digests is None else dict[str, str]()
    everywhere = collectives.gather((*scan(source, keys[own.start : own.stop], found), found))
    if digests is not None:
        digests.update(pair for _, _, found in everywhere for pair in (found or {}).items())
    return [key for readable, _, _ in everywhere for key in readable], [one for _, own, _ in everywhere for one in own]


def _errors(source: ImageSource, keys: Sequence[str]) -> Iterator[tuple[str, UnreadableImage | None]]:
    """Each key with the reason why it cannot be read, in order."""
    if isinstance(source, EncodedImages):
        files = source

        def raw(key: str) -> bytes | Path | UnreadableImage:
            try:
                return files.raw(key)
            except UnreadableImage as error:
                return error

        with DecodePool(scan_workers(), longest_side=source.longest_side) as pool:
            for key, found in pool.map((key, raw(key)) for key in keys):
                yield key, found if isinstance(found, UnreadableImage) else None
        return
    for key in keys:  # drawn when they are read
        try:
            source.read(key)
        except UnreadableImage as error:
            yield key, error
        else:
            yield key, None


def _digest(source: ImageSource, key: str) -> str:
    """Digest of an image that has just been read, so that its file is still in the disk cache."""
    data = source.raw(key) if isinstance(source, EncodedImages) else source.read(key).tobytes()
    if isinstance(data, Path):
        return file_digest(data)
    return content_digest(data)


def write_rejected(path: str | Path, rejected: Sequence[RejectedImage]) -> None:
    """Write one JSON object a line, atomically, as ASCII so that any file name can be written.

    Raises:
        OSError: the file cannot be written.
    """
    write_text_atomic(path, "".join(dumps(asdict(item)) + "\n" for item in rejected))


class RejectedList:
    """A file of rejected items, to which any number of processes append at the same time.

    Only what was appended since the last call is read again, so that a long list stays cheap.

    Args:
        path: as `write_rejected` writes it; created if missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._known, self._read = set[str](), 0

    def add(self, rejected: Sequence[RejectedImage]) -> int:
        """Append the items whose keys are not listed yet.

        Returns:
            The number of items that were appended.

        Raises:
            OSError: the file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            with suppress(OSError):  # a file system without locks: at worst an item is listed twice
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_size < self._read:  # it was written anew
                self._known, self._read = set(), 0
            file.seek(self._read)
            tail = file.read()
            for line in tail.splitlines():
                with suppress(ValueError, TypeError, KeyError):  # cut off when a process was killed
                    self._known.add(loads(line)["key"])
            new = {one.key: one for one in rejected if one.key not in self._known}
            text = "".join(dumps(asdict(one)) + "\n" for one in new.values()).encode("ascii")
            if text or tail.endswith(b"\n"):  # what is read stays whole lines
                file.write(b"\n" + text if tail and not tail.endswith(b"\n") else text)
                self._read = file.tell()
            self._known |= set(new)  # while locked: another thread may use this list next
        return len(new)
