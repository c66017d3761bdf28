"""Images that a program has: objects, arrays, paths, or a source of images."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_modules.images.folders import FolderImages
from data_modules.images.lists import below_one_root
from data_modules.images.scanning import scan
from data_modules.images.sources import EncodedImages
from data_modules.loading.decoding import UnreadableImage, decode_rgb
from data_modules.scenes import is_scenes, parse_scenes
from lightning_c3l.lvlm.errors import ImageError
from lightning_c3l.rounds.protocols import ImageSource
from lightning_c3l.runs.digests import content_digest

# an image of Pillow, an array [H, W], [H, W, 3] or [H, W, 4], or the path of a file
ImageLike = Image.Image | NDArray[Any] | str | os.PathLike[str]
# or several of them, or the path of a folder, a glob, drawn scenes (`scenes:count=8`), or a source that is open
ImagesLike = ImageLike | Iterable[ImageLike] | ImageSource

_WANTED = "give an image of Pillow, the path of a file, or an array [height, width, 3]"
_CHANNELS = (1, 3, 4)
# what a warning names of all that is left out
_NAMED = 5


class MemoryImages:
    """An image source of images in memory.

    Args:
        images: RGB images by key.
    """

    root: Path | None = None

    def __init__(self, images: Mapping[str, Image.Image]) -> None:
        self._images = dict(images)

    def keys(self) -> Sequence[str]:
        """All keys, in the order given."""
        return tuple(self._images)

    def read(self, key: str) -> Image.Image:
        """The image; always the same object."""
        return self._images[key]


@dataclass(frozen=True)
class GivenImages:
    """Images with their names.

    Attributes:
        source: holds them.
        keys: of the images as they were given; one that was given twice has its key twice.
        is_one: whether a single image was given, not a list or a folder.
    """

    source: ImageSource
    keys: Sequence[str]
    is_one: bool = False

    def read(self, key: str) -> Image.Image:
        """The RGB image.

        Raises:
            ImageError: it cannot be read; names it.
        """
        try:
            return self.source.read(key)
        except UnreadableImage as error:
            raise ImageError(f"{key}: {error.reason}") from error

    def readable(self) -> list[str]:
        """The keys, each once, of the images that can be read. Of several, the others are left out with a warning.

        A single image is not looked at: `read` says what is wrong with it.

        Raises:
            ValueError: none can be read; names the first.
        """
        keys = list(dict.fromkeys(self.keys))
        if self.is_one:
            return keys
        found, rejected = scan(self.source, keys)
        reasons = [f"{one.key}: {one.reason}" for one in rejected]
        if not found:
            raise ValueError(f"none of the {len(keys)} images given can be read: {'; '.join(reasons[:_NAMED])}")
        if reasons:
            warnings.warn(some_of(reasons, len(keys), "images are left out"), stacklevel=3)
        return found

    def require(self, keys: Iterable[str]) -> None:
        """Refuse keys of other images.

        Raises:
            ValueError: names the first.
        """
        known = set(self.keys)
        if missing := next((key for key in keys if key not in known), None):
            raise ValueError(f"a pair is about {missing}, which is none of the images given ({len(known)})")


def some_of(reasons: Sequence[str], total: int, what: str) -> str:
    """The text of a warning: of how many of all something is to be said, and why, of the first few."""
    more = f" and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    return f"{len(reasons)} of {total} {what}: {'; '.join(reasons[:_NAMED])}{more}"


def given_images(images: ImagesLike, longest_side: int | None = None) -> GivenImages:
    """Name images, so that candidates can refer to them.

    Files are named by their path below the nearest folder that contains all of them. An image in memory is named by a
    digest of its pixels: the same image has the same name wherever it is given.

    Args:
        images: an image of Pillow, an array or the path of a file; several of them; a folder, a glob or drawn scenes
            (`scenes:count=8`); or an image source, such as one that `open_images` has opened. Arrays are [H, W],
            [H, W, 3] or [H, W, 4], of whole numbers from 0 to 255 or of floats from 0 to 1.
        longest_side: pixels; larger images are shrunk, those of a source that is open are not.

    Raises:
        ValueError: there is no image, or one is of no kind that is known; files are not looked at.
    """
    if isinstance(images, ImageSource):
        return GivenImages(images, images.keys())
    if isinstance(images, str | os.PathLike) and not Path(images).expanduser().is_file():
        source = _opened(os.fspath(images), longest_side)
        return GivenImages(source, source.keys())
    is_one = isinstance(images, Image.Image | str | os.PathLike) or (isinstance(images, np.ndarray) and images.ndim < 4)
    several: list[Any] = [images] if is_one else _listed(images)
    if all(isinstance(one, str | os.PathLike) for one in several):
        files = [os.path.abspath(os.path.expanduser(os.fspath(one))) for one in several]
        found = below_one_root(list(dict.fromkeys(files)))
        names = dict(zip(dict.fromkeys(files), found.keys(), strict=True))
        return GivenImages(EncodedImages(found, longest_side=longest_side), [names[file] for file in files], is_one)
    decoded = [_decoded(one, number, longest_side) for number, one in enumerate(several, start=1)]
    keys = [f"{content_digest(f'{one.width}x{one.height} ', one.tobytes(), size=8)}.png" for one in decoded]
    return GivenImages(MemoryImages(dict(zip(keys, decoded, strict=True))), keys, is_one)


def _opened(spec: str, longest_side: int | None) -> ImageSource:
    """A folder, a glob or drawn scenes."""
    if is_scenes(spec):
        return parse_scenes(spec)
    if not Path(spec).expanduser().is_dir() and not any(one in spec for one in "*?["):
        raise ValueError(f"{spec}: no such image, folder or glob")
    return EncodedImages(FolderImages(spec), longest_side=longest_side)


def _listed(images: Any) -> list[Any]:
    try:
        several = list(images)
    except TypeError as error:
        raise ValueError(f"{type(images).__name__} is no image; {_WANTED}") from error
    if not several:
        raise ValueError(f"no image given; {_WANTED}")
    return several


def _decoded(image: Any, number: int, longest_side: int | None) -> Image.Image:
    try:
        if isinstance(image, np.ndarray):
            image = _of_array(image)
        elif isinstance(image, str | os.PathLike):
            image = Path(image).expanduser()
        elif not isinstance(image, Image.Image):
            raise UnreadableImage(f"{type(image).__name__} is no image; {_WANTED}")
        return decode_rgb(image, longest_side=longest_side)
    except UnreadableImage as error:
        name = f" ({image})" if isinstance(image, str | os.PathLike) else ""
        raise ValueError(f"image {number} of those given{name}: {error.reason}") from error


def _of_array(values: NDArray[Any]) -> Image.Image:
    """The image whose pixels an array holds."""
    shape = values.shape
    if len(shape) == 3 and shape[0] in _CHANNELS and shape[2] not in _CHANNELS:
        raise UnreadableImage(
            f"its array {list(shape)} begins with the channels; transpose it: array.transpose(1, 2, 0)"
        )
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in _CHANNELS):
        raise UnreadableImage(f"its array is {list(shape)}, not [height, width] or [height, width, 3]")
    is_float, most = values.dtype.kind == "f", 1 if values.dtype.kind == "f" else 255
    if values.dtype.kind not in "iuf" or (values.size and not (values.min() >= 0 and values.max() <= most)):
        raise UnreadableImage("its array must hold whole numbers from 0 to 255, or floats from 0 to 1")
    pixels = np.rint(values * 255) if is_float else values
    return Image.fromarray(pixels.astype(np.uint8).squeeze(2) if shape[2:] == (1,) else pixels.astype(np.uint8))
