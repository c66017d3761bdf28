"""The images of a record: their names, their bytes, and files for them."""

import binascii
import json
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from data_modules.formats.record import Inexpressible, Picture, Record
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
# of an image that nothing tells the kind of
UNKNOWN_KIND = ".img"


def to_picture(value: Any) -> Picture:
    """An image as records have it: a path, a `file://` or `data:` URL, or Hugging Face's `{"bytes": .., "path": ..}`.

    A `data:` URL becomes a picture whose name is the URL up to its comma and whose data is the file. What follows
    `file://` is a path as it stands, relative or with spaces and per cent signs: so Qwen's own code takes it.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, str):
        if value.startswith("file://"):
            return Picture(value.removeprefix("file://"))
        return _from_url(value) if value.startswith("data:") else Picture(value)
    if isinstance(value, bytes):
        return Picture("", value)
    if isinstance(value, dict):
        path, data = value.get("path"), value.get("bytes")
        if isinstance(data, bytes) or (path and isinstance(path, str)):
            return Picture(path or "", data)
    raise ValueError(f"'image' must be a path, got {type(value).__name__}")


def reference(picture: Picture) -> str:
    """What stands for the image in JSON: its name, or the whole of a `data:` URL."""
    if picture.data is not None and is_inline(picture):
        return picture.name + b64encode(picture.data).decode()
    return picture.name


def is_inline(picture: Picture) -> bool:
    """Whether the image is a `data:` URL, so that a JSON text carries its file."""
    return picture.name.startswith("data:")


def image_root(source: str | Path, given: Path | None = None) -> Path:
    """Folder that a set's image paths are relative to.

    Returns:
        The given one; else the one that `<stem>.meta.json` beside the set names, if it is there; else the set's own.
    """
    if given is not None:
        return given
    named = named_root(source)
    return named if named is not None and os.path.isdir(named) else Path(source).parent


def named_root(source: str | Path) -> Path | None:
    """Image folder that `<stem>.meta.json` beside a set names; None where it names none.

    A relative one is relative to that file. Older versions wrote it relative to their working folder: that is looked
    for where the first is not there.
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
    """How `<stem>.meta.json` beside a set names its image folder, so that it is found from any working folder.

    Args:
        root: the folder.
        out: file of the set.

    Returns:
        Relative to the set's own folder where it lies inside, so that both can be moved; else absolute.
    """
    folder, root = Path(os.path.abspath(out)).parent, Path(os.path.abspath(root))
    return str(root.relative_to(folder) if root.is_relative_to(folder) else root)


def picture_file(picture: Picture, root: Path | None) -> bytes | Path:
    """What to decode.

    Args:
        picture: the image.
        root: folder that its name is relative to, where the set does not carry the image.

    Raises:
        ValueError: there is no such file.
    """
    if picture.data is not None:
        return picture.data
    if root is None:
        raise ValueError(f"image {picture.name!r} is not carried by the set; say where the images are")
    require_file(picture.name, root)
    return root / picture.name


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


def picture_bytes(picture: Picture, root: Path | None) -> bytes:
    """The image file.

    Raises:
        Inexpressible: there is none, or it is no image.
    """
    try:
        found = picture_file(picture, root)
    except ValueError as error:
        raise Inexpressible(str(error)) from error
    if isinstance(found, bytes):
        return found
    # a record may name any file of the machine, and what is packed is meant to be passed on
    if os.path.commonpath([os.path.abspath(found), os.path.abspath(root or "/")]) != os.path.abspath(root or "/"):
        raise Inexpressible(f"image {picture.name} lies outside of {root}; give the folder of all images")
    try:
        data = found.read_bytes()
    except OSError as error:
        raise Inexpressible(f"image {picture.name} cannot be read: {error.strerror}") from error
    if found.suffix.lower() not in EXTENSIONS and kind_of(data) in (UNKNOWN_KIND, ".bmp"):
        raise Inexpressible(f"{found} is no image, by its name and by its first bytes")
    return data


def kind_of(data: bytes) -> str:
    """The usual file extension by the first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return ".avif"
    return next((extension for start, extension in _SIGNATURES if data.startswith(start)), UNKNOWN_KIND)


def extracted(picture: Picture, folder: Path) -> Picture:
    """Writes the image below `folder`, and gives the picture without its bytes.

    It keeps its name where that stays below the folder and no other image has it; otherwise, and where it has none (a
    `data:` URL, or a table without paths), it is named by its content. Nothing is overwritten.

    Raises:
        OSError: the file cannot be written.
    """
    assert picture.data is not None  # the caller's business
    by_content = content_digest(picture.data, size=10) + kind_of(picture.data)
    has_name = picture.name and not is_inline(picture) and _is_free(picture.name, folder, picture.data)
    name = picture.name if has_name else by_content
    if not (folder / name).exists():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(picture.data)
    return Picture(name)


def as_file(picture: Picture, root: Path, carried: Path) -> Picture:
    """The picture by its path below `root`; an image that the set carries is written to the folder `carried` first.

    Raises:
        OSError: the file cannot be written.
    """
    if picture.data is None:
        return picture
    return Picture(os.path.relpath(carried / extracted(picture, carried).name, root))


def safe_name(name: str) -> str:
    """A name as it is where it can be a path below any folder, else its last part."""
    return name if _is_safe(name) else PurePosixPath(name).name


def _is_free(name: str, folder: Path, data: bytes) -> bool:
    if not _is_safe(name):
        return False
    path = folder / name
    if not path.exists():
        # `a` may be the file of another image, so that no folder `a` can hold `a/b.png`
        return not any((folder / parent).is_file() for parent in PurePosixPath(name).parents)
    return path.is_file() and path.read_bytes() == data


def _is_safe(name: str) -> bool:
    """Whether the name is a path that stays below the folder that it is relative to, on any system."""
    parts = name.split("/")
    return (
        not PurePosixPath(name).is_absolute()
        and not re.search(r"[\x00-\x1f\\:\ud800-\udfff]", name)
        and parts[-1] not in ("", ".")
        and all(part in ("", ".") or (part.strip(". ") and len(part.encode()) <= 200) for part in parts)
    )


def _from_url(url: str) -> Picture:
    head, comma, payload = url.partition(",")
    if not head.endswith(";base64"):
        return Picture(url)
    try:
        return Picture(head + comma, b64decode(payload, validate=True))
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the image {head}, is no base64: {error}") from error


def attached(record: Record, beside: Sequence[tuple[int, Picture]]) -> Record:
    """Gives the record's images the files that came with it.

    Raises:
        ValueError: it is not clear which file belongs to which image.
    """
    if all(picture.data is not None for picture in record.pictures):
        return record  # it names none: they are its images
    places = [place for place, _ in beside]
    if len(set(places)) < len(places) or max(places) >= len(record.pictures):
        if len(beside) != len(record.pictures):
            raise ValueError(f"names {len(record.pictures)} images, and {len(beside)} files are beside it")
        places = list(range(len(beside)))
    for place, (_, carried) in zip(places, beside, strict=True):
        record.pictures[place].data = carried.data
    return record
