"""Image files below one folder, found by extension or by a glob."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from data_modules.loading.decoding import FORMATS, UnreadableImage

# ends of the names of files that count as images; their content is looked at when they are read
EXTENSIONS = tuple(ending for endings in FORMATS.values() for ending in endings)

_WILDCARD = re.compile(r"[*?\[]")


class FolderImages:
    """Image files below one folder.

    A folder is searched through all levels for `extensions`; a glob (`photos/**/*.png`) lists what it
    matches, and its fixed part before the first wildcard is the root. Hidden files and folders are left out
    (editors and archivers leave `._x.jpg` and `.thumbnails` behind). Links to folders are followed, each
    folder once.

    Attributes:
        passed_over: number of files in the folder that do not count as images, by the end of their names.

    Args:
        spec: folder or glob.
        limit: only the first so many keys in sorted order.

    Raises:
        ValueError: the folder is missing, or nothing in it matches.
    """

    root: Path | None

    def __init__(self, spec: str | Path, limit: int | None = None) -> None:
        if not str(spec):  # would be the current folder
            raise ValueError("no folder of images given")
        root, pattern = _split(spec)
        if not root.is_dir():
            raise ValueError(f"{root}: no such folder; give a folder of images, a glob, a list or .tar shards")
        names, others = list[str](), Counter[str]()
        for name in _walk(root):
            if _wanted(name, pattern):
                names.append(name)
            elif not pattern:
                others[ending(name)] += 1
        self._folder = self.root = root
        self._keys, self.passed_over = tuple(sorted(names)[:limit]), others
        if not self._keys:
            found = f", only {counted(others)}" if others else ""
            wanted = f"nothing matches {pattern}" if pattern else f"no image ({' '.join(EXTENSIONS)}){found}"
            raise ValueError(f"{root}: {wanted}; check the path or the file names' extensions")

    @classmethod
    def listed(cls, root: Path, keys: Sequence[str]) -> "FolderImages":
        """Exactly these files below `root`, in this order, without looking at the disk."""
        source = cls.__new__(cls)
        source._folder = source.root = root
        source._keys, source.passed_over = tuple(keys), Counter()
        return source

    def keys(self) -> Sequence[str]:
        """Posix paths relative to `root`."""
        return self._keys

    def raw(self, key: str) -> Path:
        """The file.

        Raises:
            UnreadableImage: its name cannot be written into a data set, or leads out of the folder.
        """
        if any("\ud800" <= letter <= "\udfff" for letter in key):
            raise UnreadableImage("the file's name is no valid UTF-8")
        if key.startswith("/") or ".." in key.split("/"):
            raise UnreadableImage(f"its path leads out of {self._folder}")
        return self._folder / key


def ending(name: str) -> str:
    """The end of a file's name from its last dot, in lower case; empty where there is none."""
    return os.path.splitext(name)[1].lower()


def counted(endings: Counter[str]) -> str:
    """Such as `12 .heic, 1 without an ending`, the most frequent first, five at most."""
    first = sorted(endings.items(), key=lambda one: (-one[1], one[0]))[:5]
    named = [f"{count} {end or 'without an ending'}" for end, count in first]
    more = endings.total() - sum(count for _, count in first)
    return ", ".join([*named, f"{more} others"] if more else named)


def contains_images(spec: str | Path) -> bool:
    """Whether a folder or glob contains any image, by the names of its files."""
    root, pattern = _split(spec)
    return root.is_dir() and any(_wanted(name, pattern) for name in _walk(root))


def _split(spec: str | Path) -> tuple[Path, str]:
    """A glob's fixed folder and the rest; a folder of the very name given wins over what it might match."""
    parts = Path(spec).expanduser().parts
    whole = Path(*parts)
    first = next((number for number, part in enumerate(parts) if _WILDCARD.search(part)), None)
    if first is None or whole.is_dir():
        return whole, ""
    return Path(*parts[:first]), "/".join(parts[first:])


def _walk(root: Path) -> Iterator[str]:
    """Paths below a folder, relative to it, without hidden files and folders."""
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


def _wanted(name: str, pattern: str) -> bool:
    return _as_regex(pattern).fullmatch(name) is not None if pattern else name.lower().endswith(EXTENSIONS)


@lru_cache
def _as_regex(pattern: str) -> re.Pattern[str]:
    """A glob over paths as a regular expression: `**/` is any folders, `*` and `?` stay within one name."""
    wildcards = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = list[str]()
    for token in re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]*\])", pattern):
        if len(token) > 2 and token.startswith("[") and token.endswith("]"):
            negated = token[1] == "!"
            letters = re.sub(r"([\\\[\]^&~|])", r"\\\1", token[2:-1] if negated else token[1:-1])
            pieces.append(f"[{'^' if negated else ''}{letters}]")
        else:
            pieces.append(wildcards.get(token, re.escape(token)))
    return re.compile("".join(pieces), re.DOTALL)
