"""Where unlabelled images come from.

An image is named by its key, a path with forward slashes relative to the source's root.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from data_modules.images.folders import FolderImages, contains_images, counted
from data_modules.images.lists import open_coco, open_list
from data_modules.images.shard_files import expand, looks_like_shards
from data_modules.images.shards import open_shards
from data_modules.images.tables import ParquetImages, SavedDatasetImages, is_saved_dataset
from data_modules.loading.decoding import UnreadableImage, decode_rgb
from lightning_c3l import extensions
from lightning_c3l.extensions import is_path

_LISTS = (".txt", ".lst")


class EncodedSource(Protocol):
    """A set of image files, wherever they are stored."""

    @property
    def root(self) -> Path | None:
        """Folder that the keys are relative to, None where the images are not files of their own."""

    def keys(self) -> Sequence[str]:
        """All keys, each once, always in the same order."""

    def raw(self, key: str) -> bytes | Path:
        """The encoded image, to be copied or decoded elsewhere: its path, or its bytes where it has none.

        Raises:
            UnreadableImage: it cannot be fetched, with the reason.
        """


class EncodedImages:
    """The image source of a set of image files.

    Args:
        files: the files.
        longest_side: pixels; larger images are shrunk, see `decode_rgb`.

    Raises:
        ValueError: `longest_side` is below 1.
    """

    def __init__(self, files: EncodedSource, longest_side: int | None = None) -> None:
        if longest_side is not None and longest_side < 1:
            raise ValueError(f"longest_side must be at least 1 or left out, not {longest_side}")
        self.files, self.longest_side = files, longest_side

    @property
    def root(self) -> Path | None:
        """Folder that the keys are relative to."""
        # one of the user's own need not say that it has none
        return getattr(self.files, "root", None)

    def keys(self) -> Sequence[str]:
        """All keys."""
        return self.files.keys()

    @property
    def passed_over(self) -> str:
        """Files beside the images that do not count as images, by the ends of their names; empty if there are none."""
        return counted(getattr(self.files, "passed_over", None) or Counter[str]())

    def raw(self, key: str) -> bytes | Path:
        """The encoded image.

        Raises:
            UnreadableImage: it cannot be fetched, with the reason.
        """
        found = self.files.raw(key)
        if not isinstance(found, bytes | Path):
            raise UnreadableImage(f"its source gives {type(found).__name__}, not bytes or a path")
        return found

    def read(self, key: str) -> Image.Image:
        """The RGB image, decoded in this process; read an image first through `scan`, which cannot hang."""
        return decode_rgb(self.raw(key), longest_side=self.longest_side)


def own_source(spec: str) -> tuple[str, str] | None:
    """The dotted path and the rest of a source of the user's own, `module.attribute:rest`; None of any other spec."""
    name, mark, rest = spec.partition(":")
    is_own = mark and is_path(name) and not rest.startswith(":") and not os.path.exists(spec)
    return (name, rest) if is_own else None


def open_images(spec: str, spool: Path, limit: int | None = None, longest_side: int | None = None) -> EncodedImages:
    """Open a source by the look of its name.

    Args:
        spec: one of
            a folder, searched through all levels; or a glob;
            a list, `.txt` or `.lst`, one path a line;
            COCO annotations, `.json` or `.json::folder-of-the-images`;
            WebDataset shards, .tar, .tar.gz or .tgz, with {000..009} braces or wildcards, or a command that writes
            one to its output, `pipe:...`;
            Parquet files, `.parquet` or `.parquet::column`, also with braces or wildcards;
            a Hugging Face data set that `save_to_disk` wrote, its folder or `folder::column`;
            a source of the user's own, `module.attribute:rest`, an `EncodedSource` that is made of the rest. It runs
            code: only specs of the command line and of experiment files may come here.
        spool: folder for the images of compressed shards and of commands.
        limit: only the first so many images.
        longest_side: pixels; larger images are shrunk when read.

    Raises:
        ValueError: nothing usable is there; one line that names the path.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 or left out, got {limit}")
    return EncodedImages(_open(spec, spool, limit), longest_side)


def require_images(spec: str) -> None:
    """Refuse a source that does not exist, without listing it: a folder is searched to its first image.

    Args:
        spec: as of `open_images`; commands are not tried.

    Raises:
        ValueError: names what is missing.
    """
    if own := own_source(spec):
        _load(own[0])
        return
    name, _ = _split(spec)
    path = Path(name).expanduser()
    if name.startswith("pipe:") or (path.is_dir() and is_saved_dataset(path)):
        return
    if not path.is_dir() and (looks_like_shards(name) or name.lower().endswith((".parquet", ".json", *_LISTS))):
        is_one = name.lower().endswith((".json", *_LISTS))
        for file in [str(path)] if is_one else expand(os.path.expanduser(name)):
            if not Path(file).is_file():
                raise ValueError(f"{file}: no such file")
    elif path.is_file() or not contains_images(name):
        # says what is wrong with it
        _open(spec, path, None)


def _load(path: str) -> Any:
    return extensions.load("data.images", path, "image source", extensions.takes(("rest",)))


def _own(path: str, rest: str) -> EncodedSource:
    source: EncodedSource = _load(path)(rest)
    if missing := [name for name in ("keys", "raw") if not callable(getattr(source, name, None))]:
        reason = f"what it returns has no {' and no '.join(missing)}"
        raise ValueError(extensions.misfit("data.images", path, "image source", reason))
    return source


def _open(spec: str, spool: Path, limit: int | None) -> EncodedSource:
    if own := own_source(spec):
        return _own(*own)
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
    """The name and what follows `::`, which only some sources have."""
    name, mark, part = spec.rpartition("::")
    if not mark or Path(spec).exists():
        return spec, None
    has_part = name.lower().endswith((".json", ".parquet")) or is_saved_dataset(Path(name).expanduser())
    return (name, part or None) if has_part else (spec, None)
