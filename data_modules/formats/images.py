"""The images of a record: where they are found, their bytes, and files for them."""

import json
import os
import re
from base64 import b64decode, b64encode
from pathlib import Path, PurePosixPath
from typing import Any

from data_modules.formats.record import ImageRef, Inexpressible
from data_modules.images.folders import EXTENSIONS
from lightning_c3l.runs.atomic import atomic_path
from lightning_c3l.runs.digests import content_digest

_SIGNATURES = (
    (b"\x89PNG", ".png"),
    (b"\xff\xd8", ".jpg"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
    (b"8BPS", ".psd"),
    (b"qoif", ".qoi"),
    (b"\x00\x00\x00\x0cjP  ", ".jp2"),
    (b"\xff\x4f\xff\x51", ".j2k"),
)
# how PNG, JPEG, GIF and WebP begin in base64
_BASE64 = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR")
# extension of an image file of unknown format
UNKNOWN_EXTENSION = ".img"


def to_image(value: Any) -> ImageRef:
    """An image as records have it: a path, a `file://` or `data:` URL, or Hugging Face's `{"bytes": .., "path": ..}`.

    What follows `file://` is a path as it stands, relative or with spaces and per cent signs: so Qwen's own code takes
    it.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, str):
        if value.startswith("data:"):
            head, comma, payload = value.partition(",")
            if not head.endswith(";base64"):
                return ImageRef(value)
            try:
                return ImageRef(head + comma, b64decode(payload, validate=True))
            except ValueError as error:
                raise ValueError(f"the image {head}, is no base64: {error}") from error
        return ImageRef(value.removeprefix("file://"))
    if isinstance(value, bytes):
        return ImageRef("", value)
    if isinstance(value, dict):
        path, data = value.get("path"), value.get("bytes")
        if isinstance(data, bytes) or (path and isinstance(path, str)):
            return ImageRef(path or "", data)
    raise ValueError(f"'image' must be a path, got {type(value).__name__}")


def image_reference(image: ImageRef) -> str:
    """The image in JSON: its name, or the whole of a `data:` URL."""
    if image.data is not None and is_inline(image):
        return image.name + b64encode(image.data).decode()
    return image.name


def is_inline(image: ImageRef) -> bool:
    """Whether the image is a `data:` URL, so that a JSON text carries its file."""
    return image.name.startswith("data:")


def image_root(source: str | Path, given: Path | None = None) -> Path:
    """Folder that a set's image paths are relative to.

    Returns:
        The given one; else the one that `<stem>.meta.json` beside the set names, if it exists; else the set's own.
    """
    if given is not None:
        return given
    named = named_root(source)
    return named if named is not None and os.path.isdir(named) else Path(source).parent


def named_root(source: str | Path) -> Path | None:
    """Image folder that `<stem>.meta.json` beside a set names; None if it names none.

    A relative folder is relative to that file. Older versions wrote it relative to their working folder: it is looked
    for there if it does not exist beside the file.
    """
    path = Path(source)
    try:
        named = json.loads(path.with_suffix(".meta.json").read_text(encoding="utf-8"))["image_root"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    if not isinstance(named, str):
        return None
    beside = path.parent / named
    return beside if os.path.isdir(beside) or not os.path.isdir(named) else Path(named)


def recorded_root(root: str | Path, out: str | Path) -> str:
    """The image folder as `<stem>.meta.json` beside a set names it, so that it is found from any working folder.

    Args:
        root: the folder.
        out: file of the set.

    Returns:
        Relative to the set's own folder if it lies inside, so that both can be moved; else absolute.
    """
    folder, root = Path(os.path.abspath(out)).parent, Path(os.path.abspath(root))
    return str(root.relative_to(folder) if root.is_relative_to(folder) else root)


def image_file(image: ImageRef, root: Path | None) -> bytes | Path:
    """The encoded image: its bytes if the set carries it, else its file.

    Args:
        image: the image.
        root: folder that its name is relative to.

    Raises:
        ValueError: there is no such file.
    """
    if image.data is not None:
        return image.data
    if root is None:
        raise ValueError(f"image {image.name!r} is not carried by the set; say where the images are")
    require_file(image.name, root)
    return root / image.name


def require_file(name: str, root: Path) -> None:
    """Refuse an image that is no file.

    Args:
        name: its path, relative to the root or absolute.
        root: folder of the images.

    Raises:
        ValueError: there is no such file, or it would have to be downloaded.
    """
    if re.match(r"https?://", name):
        raise ValueError(f"image {name[:200]} is a URL: nothing is downloaded, so name the path of a file")
    if len(name) > 200 and name.startswith(_BASE64):
        raise ValueError(
            f"image {name[:40]}... is no path: a file in base64 needs data:image/png;base64, in front of it"
        )
    if not os.path.isfile(root / name):  # unlike Path.is_file, never raises, whatever the name
        raise ValueError(f"image {name[:200]} is not below {root}")


def image_bytes(image: ImageRef, root: Path | None) -> bytes:
    """The content of the image file, to be packed into a set.

    Raises:
        Inexpressible: there is none, it is no image, or it lies outside of `root`.
    """
    try:
        found = image_file(image, root)
    except ValueError as error:
        raise Inexpressible(str(error)) from error
    if isinstance(found, bytes):
        return found
    # a record may name any file of the machine, and what is packed is meant to be passed on
    folder = os.path.abspath(root or "/")
    if os.path.commonpath([os.path.abspath(found), folder]) != folder:
        raise Inexpressible(f"image {image.name} lies outside of {root}; give the folder of all images")
    try:
        data = found.read_bytes()
    except OSError as error:
        raise Inexpressible(f"image {image.name} cannot be read: {error.strerror}") from error
    if found.suffix.lower() not in EXTENSIONS and image_extension(data) in (UNKNOWN_EXTENSION, ".bmp"):
        raise Inexpressible(f"{found} is no image, by its name and by its first bytes")
    return data


def image_extension(data: bytes) -> str:
    """The usual extension of an image file, by its first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return ".avif"
    return next((extension for start, extension in _SIGNATURES if data.startswith(start)), UNKNOWN_EXTENSION)


def extract_image(image: ImageRef, folder: Path) -> ImageRef:
    """Write an image that the set carries below `folder`.

    The file keeps the image's name if that stays below the folder and no other image has it; otherwise, and if it has
    none (a `data:` URL, or a table without paths), it is named by its content. Nothing is overwritten.

    Returns:
        The image by its path below the folder, without its bytes.

    Raises:
        OSError: the file cannot be written.
    """
    assert image.data is not None
    name, path = image.name, folder / image.name
    is_usable = name != "" and not is_inline(image) and is_safe_name(name)
    if is_usable and path.exists():
        is_usable = path.is_file() and path.read_bytes() == image.data
    elif is_usable:
        # `a` may be the file of another image, so that no folder `a` can hold `a/b.png`
        is_usable = not any((folder / parent).is_file() for parent in PurePosixPath(name).parents)
    if not is_usable:
        name = content_digest(image.data, size=10) + image_extension(image.data)
    if not (folder / name).exists():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(image.data)
    return ImageRef(name)


def as_file(image: ImageRef, root: Path, carried: Path) -> ImageRef:
    """The image by its path relative to `root`; one that the set carries is written to the folder `carried` first.

    Raises:
        OSError: the file cannot be written.
    """
    if image.data is None:
        return image
    return ImageRef(os.path.relpath(carried / extract_image(image, carried).name, root))


def is_safe_name(name: str) -> bool:
    """Whether the name is a path that stays below the folder that it is relative to, on any system."""
    parts = name.split("/")
    return (
        not PurePosixPath(name).is_absolute()
        and not re.search(r"[\x00-\x1f\\:\ud800-\udfff]", name)
        and parts[-1] not in ("", ".")
        and all(part in ("", ".") or (part.strip(". ") and len(part.encode()) <= 200) for part in parts)
    )
