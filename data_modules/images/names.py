"""Plain, unique names for images that lie in archives and tables, whatever names these give them."""

import re
from collections.abc import Sequence

from data_modules.images.folders import EXTENSIONS


class ImageNames:
    """Names given so far, each once; the same images in the same order always get the same names."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def give(self, name: str) -> str:
        """A free name like this one."""
        return _free_name(_safe_name(name), self._taken)

    def give_row(self, path: str | None, row: int) -> str:
        """A free name for a row of a table: like the path stored there, or the row's number if that names no image."""
        is_image = path is not None and path.lower().endswith(EXTENSIONS)
        return self.give(path) if path is not None and is_image else _free_name(f"{row:09d}", self._taken)


def _safe_name(name: str) -> str:
    """A plain file name, whatever the archive says: no folder, no `..`, nothing hidden, not too long."""
    stem, dot, extension = name.rpartition(".")
    parts: Sequence[str] = [part for part in re.split(r"[/\\]", stem) if part.strip(". ")]
    plain = re.sub(r"[^\w.+-]", "_", "_".join(parts)).strip(".") or "image"
    # 60 letters of 4 bytes each still fit where names have 255 bytes
    return f"{plain[-60:].lstrip('.')}{dot}{extension.lower()}"


def _free_name(name: str, taken: dict[str, int]) -> str:
    """The name, or with a number where an earlier image has it, also in file systems that ignore case."""
    stem, dot, extension = name.rpartition(".") if "." in name else (name, "", "")
    candidate, number = name, taken.get(name.lower(), 0)
    while candidate.lower() in taken:
        number += 1
        candidate = f"{stem}-{number}{dot}{extension}"
    taken[name.lower()] = number
    taken.setdefault(candidate.lower(), 0)
    return candidate
