"""Image files below one folder, found by extension or by a glob."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_modules.decoding import UnreadableImage

# File names that hold images; `decoding.FORMATS` says what is really read.
EXTENSIONS = tuple(
    f".{end}" for end in ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "avif", "jp2", "ppm", "pgm", "pbm")
)

_WILDCARD = re.compile(r"[*?\[]")


class FolderImages:
    """Image files below one folder.

    A folder is searched through all levels for `extensions`; a glob (`photos/**/*.png`) lists what it
    matches, and its fixed part before the first wildcard is the root. Hidden files and folders are left out
    (editors and archivers leave `._x.jpg` and `.thumbnails` behind). Links to folders are followed, each
    folder once.

    Args:
        spec: folder or glob.
        limit: only the first so many keys in sorted order.
        extensions: lower-case name ends that count as images in a folder.

    Raises:
        ValueError: the folder is missing, or nothing in it matches.
    """

    def __init__(self, spec: str | Path, limit: int | None = None, extensions: Sequence[str] = EXTENSIONS) -> None:
        check_limit(limit)
        if not str(spec):  # would be the current folder
            raise ValueError("no folder of images given")
        root, pattern = _split(spec)
        if not root.is_dir():
            raise ValueError(f"{root}: no such folder; give a folder of images, a glob, a list or .tar shards")
        names = (name for name in _walk(root) if _wanted(name, pattern, tuple(extensions)))
        self._fill(root, sorted(names)[:limit])
        if not self._keys:
            wanted = f"nothing matches {pattern}" if pattern else f"no image ({' '.join(extensions)})"
            raise ValueError(f"{root}: {wanted}; check the path or the file names' extensions")

    @classmethod
    def listed(cls, root: Path, keys: Sequence[str]) -> "FolderImages":
        """Exactly these files below `root`, in this order, without looking at the disk."""
        source = cls.__new__(cls)
        source._fill(root, keys)
        return source

    def _fill(self, root: Path, keys: Sequence[str]) -> None:
        self.root: Path | None = root
        self._folder = root
        self._keys = tuple(keys)

    def keys(self) -> Sequence[str]:
        """Posix paths relative to `root`."""
        return self._keys

    def raw(self, key: str) -> Path:
        """The file.

        Raises:
            UnreadableImage: its name cannot be written into a data set, or leads out of the folder.
        """
        if _has_surrogates(key):
            raise UnreadableImage("the file's name is no valid UTF-8")
        if key.startswith("/") or ".." in key.split("/"):
            raise UnreadableImage(f"its path leads out of {self._folder}")
        return self._folder / key


def check_limit(limit: int | None) -> None:
    """Refuses a limit that would leave nothing.

    Raises:
        ValueError: the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 or left out, got {limit}")


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _split(spec: str | Path) -> tuple[Path, str]:
    """A glob's fixed folder and the rest; a folder of the very name given wins over what it might match."""
    parts = Path(spec).expanduser().parts
    whole = Path(*parts)
    first = next((number for number, part in enumerate(parts) if _WILDCARD.search(part)), None)
    if first is None or whole.is_dir():
        return whole, ""
    return Path(*parts[:first]), "/".join(parts[first:])


def _walk(root: Path) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link back up, or a second way to the same folder
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(folder).relative_to(root)
        for name in files:
            if not name.startswith("."):
                yield (relative / name).as_posix()


def _wanted(name: str, pattern: str, extensions: tuple[str, ...]) -> bool:
    return _as_regex(pattern).fullmatch(name) is not None if pattern else name.lower().endswith(extensions)


def _as_regex(pattern: str) -> re.Pattern[str]:
    """A glob over paths as a regular expression: `**/` is any folders, `*` and `?` stay within one name."""
    pieces = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]*\])", pattern)
    return re.compile("".join(_piece(token, pieces) for token in tokens), re.DOTALL)


def _piece(token: str, pieces: dict[str, str]) -> str:
    if len(token) > 2 and token.startswith("[") and token.endswith("]"):
        negated = token[1] == "!"
        letters = token[2:-1] if negated else token[1:-1]
        letters = re.sub(r"([\\\[\]^&~|])", r"\\\1", letters)
        return f"[{'^' if negated else ''}{letters}]"
    return pieces.get(token, re.escape(token))
