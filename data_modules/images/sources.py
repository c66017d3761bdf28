"""Where unlabelled images come from, and which of them can be read.

An image is named by its key, a path with forward slashes relative to the source's root.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from json import dumps, loads
from pathlib import Path
from typing import Protocol

from PIL import Image
from tqdm import tqdm

from data_modules.images.folders import FolderImages, counted, holds_images
from data_modules.images.lists import open_coco, open_list
from data_modules.images.parquet import ParquetImages
from data_modules.images.saved_datasets import SavedDatasetImages, is_saved_dataset
from data_modules.images.shard_files import expand, looks_like_shards
from data_modules.images.shards import open_shards
from data_modules.loading.decode_pool import DecodePool
from data_modules.loading.decoding import MAX_PIXELS, UnreadableImage, decode_rgb
from lightning_c3l.records import RejectedImage
from lightning_c3l.rounds.protocols import ImageSource
from lightning_c3l.runs.atomic import write_text_atomic
from lightning_c3l.runs.digests import content_digest, file_digest

__all__ = [
    "DecodePool",
    "EncodedImages",
    "EncodedSource",
    "FolderImages",
    "ImageSource",
    "RejectedImage",
    "UnreadableImage",
    "decode_rgb",
    "list_rejected",
    "open_images",
    "scan",
    "write_rejected",
]

_LISTS = (".txt", ".lst")
_MOST_WORKERS = 8


class EncodedSource(Protocol):
    """A set of image files, wherever they lie."""

    @property
    def root(self) -> Path | None:
        """As of `ImageSource`."""

    def keys(self) -> Sequence[str]:
        """As of `ImageSource`."""

    def raw(self, key: str) -> bytes | Path:
        """The file as it is, to be copied or to be decoded elsewhere: its path, or its bytes where it has none.

        Raises:
            UnreadableImage: it cannot be had, with the reason.
        """


class EncodedImages:
    """The image source of a set of image files.

    Args:
        files: the files.
        max_pixels: larger images are unreadable.
        longest_side: larger images are shrunk; see `decode_rgb`.
    """

    def __init__(self, files: EncodedSource, max_pixels: int = MAX_PIXELS, longest_side: int | None = None) -> None:
        if longest_side is not None and longest_side < 1:
            raise ValueError(f"longest_side must be at least 1 or left out, not {longest_side}")
        self.files, self.max_pixels, self.longest_side = files, max_pixels, longest_side

    @property
    def root(self) -> Path | None:
        """Folder that the keys are relative to."""
        return self.files.root

    def keys(self) -> Sequence[str]:
        """All keys."""
        return self.files.keys()

    @property
    def passed_over(self) -> str:
        """What lies beside the images and is not taken for one, by the ends of the names; empty where nothing does."""
        return counted(getattr(self.files, "passed_over", None) or Counter[str]())

    def raw(self, key: str) -> bytes | Path:
        """The file as it is."""
        return self.files.raw(key)

    def read(self, key: str) -> Image.Image:
        """The RGB image, decoded here and now; for the first look at an image there is `scan`, which cannot hang."""
        return decode_rgb(self.raw(key), self.max_pixels, self.longest_side)


def open_images(spec: str, spool: Path, limit: int | None = None, longest_side: int | None = None) -> EncodedImages:
    """Opens a source by the look of its name.

    Args:
        spec: one of
            a folder, searched through all levels; or a glob;
            a list, `.txt` or `.lst`, one path a line;
            COCO annotations, `.json` or `.json::folder-of-the-images`;
            WebDataset shards, .tar, .tar.gz or .tgz, with {000..009} braces or wildcards, or a command that writes
            one to its output, `pipe:...`;
            Parquet files, `.parquet` or `.parquet::column`, also with braces or wildcards;
            a Hugging Face data set that `save_to_disk` wrote, its folder or `folder::column`.
        spool: folder for the images of compressed shards and of commands.
        limit: only the first so many images.
        longest_side: pixels; larger images are shrunk when read.

    Raises:
        ValueError: nothing usable is there; one line that names the path.
    """
    return EncodedImages(_open(spec, spool, limit), longest_side=longest_side)


def require_images(spec: str) -> None:
    """Refuse a source that is not there, without listing it: a folder is searched to its first image.

    Args:
        spec: as of `open_images`; nothing can be told of a command beforehand.

    Raises:
        ValueError: names what is missing.
    """
    name, _ = _split(spec)
    path = Path(name).expanduser()
    if name.startswith("pipe:") or (path.is_dir() and is_saved_dataset(path)):
        return
    if not path.is_dir() and (looks_like_shards(name) or name.lower().endswith((".parquet", ".json", *_LISTS))):
        is_one = name.lower().endswith((".json", *_LISTS))
        for file in [str(path)] if is_one else expand(os.path.expanduser(name)):
            if not Path(file).is_file():
                raise ValueError(f"{file}: no such file")
    elif path.is_file() or not holds_images(name):
        # says what is wrong with it
        _open(spec, path, None)


def _open(spec: str, spool: Path, limit: int | None) -> EncodedSource:
    name, part = _split(spec)
    path = Path(name).expanduser()
    if path.is_dir():
        return SavedDatasetImages(path, part, limit) if is_saved_dataset(path) else FolderImages(name, limit)
    if looks_like_shards(name):
        return open_shards(name, spool, limit)
    if name.lower().endswith(".parquet"):
        return ParquetImages(expand(os.path.expanduser(name)), part, limit)
    if name.lower().endswith(".json"):
        return open_coco(path, part, limit)
    if name.lower().endswith(_LISTS):
        return open_list(path, limit)
    if path.is_file():
        raise ValueError(
            f"{spec}: is a single file; give a folder of images, a glob, a list (.txt), COCO annotations (.json), "
            ".parquet files, or .tar, .tar.gz or .tgz shards"
        )
    return FolderImages(name, limit)


def _split(spec: str) -> tuple[str, str | None]:
    """The name, and what stands behind `::`, which only some sources have."""
    name, mark, part = spec.rpartition("::")
    if not mark or Path(spec).exists():
        return spec, None
    has_part = name.lower().endswith((".json", ".parquet")) or is_saved_dataset(Path(name).expanduser())
    return (name, part or None) if has_part else (spec, None)


def scan(
    source: ImageSource, keys: Sequence[str], digests: dict[str, str] | None = None
) -> tuple[list[str], list[RejectedImage]]:
    """Reads every image once, so that no later reading fails.

    Image files are decoded in processes of their own, however few they are: in this one a file on which a decoder hangs
    would stop the run. That takes a quarter of a second to start.

    Args:
        source: where the images are.
        keys: the images.
        digests: is given the digest of each readable image: of its file as it was just read, or of a drawn picture.

    Returns:
        The keys that can be read, and the others with their reasons, both in the order of `keys`.
    """
    readable: list[str] = []
    rejected: list[RejectedImage] = []
    for key, error in tqdm(_errors(source, keys), total=len(keys), desc="check images", unit="image", leave=False):
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


def _digest(source: ImageSource, key: str) -> str:
    """Digest of an image that has just been read, so that its file need not come from the disk again."""
    data = source.raw(key) if isinstance(source, EncodedImages) else source.read(key).tobytes()
    if isinstance(data, Path):
        return file_digest(data)
    return content_digest(data)


def _errors(source: ImageSource, keys: Sequence[str]) -> Iterator[tuple[str, UnreadableImage | None]]:
    if not isinstance(source, EncodedImages):  # drawn as they are read
        for key in keys:
            yield key, _error(source, key)
        return
    workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    with DecodePool(workers, max_pixels=source.max_pixels, longest_side=source.longest_side) as pool:
        for key, found in pool.map((key, _raw(source, key)) for key in keys):
            yield key, found if isinstance(found, UnreadableImage) else None


def _raw(source: EncodedImages, key: str) -> bytes | Path | UnreadableImage:
    try:
        return source.raw(key)
    except UnreadableImage as error:
        return error


def _error(source: ImageSource, key: str) -> UnreadableImage | None:
    try:
        source.read(key)
    except UnreadableImage as error:
        return error
    return None


def write_rejected(path: str | Path, rejected: Sequence[RejectedImage]) -> None:
    """Writes one JSON object a line, whole or not at all, as ASCII, so that any file name can be written.

    Raises:
        OSError: the file cannot be written.
    """
    write_text_atomic(path, "".join(dumps(asdict(item)) + "\n" for item in rejected))


def list_rejected(path: str | Path, rejected: Sequence[RejectedImage]) -> int:
    """Adds to a list what is not there yet; any number of processes may do so at the same time.

    Args:
        path: as `write_rejected` writes it; made where there is none.
        rejected: what to add, told apart by its key.

    Returns:
        How many were added.

    Raises:
        OSError: the file cannot be written.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="ascii") as file:
        with suppress(OSError):  # a file system without locks: at worst an item is listed twice
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        listed = file.read()
        known = set()
        for line in listed.splitlines():
            with suppress(ValueError, TypeError, KeyError):  # cut off when a process was killed
                known.add(loads(line)["key"])
        new = {one.key: one for one in rejected if one.key not in known}
        lines = "".join(dumps(asdict(one)) + "\n" for one in new.values())
        file.write(lines if listed.endswith("\n") or not listed else "\n" + lines)
        file.flush()
    return len(new)
