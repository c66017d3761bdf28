"""Where unlabelled images come from: a folder, a glob, or WebDataset shards.

An image is named by its key, a path with forward slashes relative to the source's root.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import Protocol

from PIL import Image
from tqdm import tqdm

from data_modules.decoding import UnreadableImage, decode_rgb
from data_modules.folder_images import FolderImages
from data_modules.shards import looks_like_shards, unpack_shards
from lightning_c3l.atomic import write_text_atomic

__all__ = [
    "FolderImages",
    "ImageSource",
    "Rejected",
    "UnreadableImage",
    "decode_rgb",
    "open_images",
    "scan",
    "unpack_shards",
    "write_rejected",
]


class ImageSource(Protocol):
    """A set of images that can be listed and read."""

    @property
    def root(self) -> Path | None:
        """Folder that the keys are relative to, None where the pictures exist only in memory."""

    def keys(self) -> Sequence[str]:
        """All keys, always in the same order."""

    def read(self, key: str) -> Image.Image:
        """The RGB image.

        Raises:
            UnreadableImage: with the reason.
        """


@dataclass(frozen=True)
class Rejected:
    """An image that cannot be used, and why, in one line."""

    key: str
    reason: str


def open_images(spec: str, spool: Path, limit: int | None = None) -> ImageSource:
    """Opens a source by the look of its name.

    Args:
        spec: folder, glob, or shards: names ending in .tar, .tar.gz or .tgz, with {000..009} braces or
            wildcards, or a command that writes one to its output, `pipe:...`.
        spool: folder that the images of shards are unpacked into.
        limit: only the first so many images.

    Raises:
        ValueError: nothing usable is there; one line that names the path.
    """
    if not Path(spec).is_dir() and looks_like_shards(spec):
        return unpack_shards(spec, spool, limit)
    if Path(spec).is_file():
        raise ValueError(f"{spec}: is a single file; give a folder of images, a glob, or .tar, .tar.gz or .tgz shards")
    return FolderImages(spec, limit)


def scan(source: ImageSource, keys: Sequence[str]) -> tuple[list[str], list[Rejected]]:
    """Reads every image once.

    Returns:
        The keys that can be read, and the others with their reasons, both in the order of `keys`.
    """
    readable: list[str] = []
    rejected: list[Rejected] = []
    for key in tqdm(keys, desc="check images", unit="image", leave=False):
        try:
            source.read(key)
            readable.append(key)
        except UnreadableImage as error:
            rejected.append(Rejected(key, error.reason))
    return readable, rejected


def write_rejected(path: str | Path, rejected: Sequence[Rejected]) -> None:
    """Writes one JSON object a line, whole or not at all, as ASCII, so that any file name can be written.

    Raises:
        OSError: the file cannot be written.
    """
    write_text_atomic(path, "".join(dumps(asdict(item)) + "\n" for item in rejected))
