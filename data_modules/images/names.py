"""Plain, unique names for images in archives and tables, whatever names these give them."""

import re

from data_modules.images.folders import EXTENSIONS


class ImageNames:
    """Gives each image a name of its own; the same images in the same order always get the same names."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def give(self, name: str) -> str:
        """An unused name like this one: a plain file name, not hidden, without folders or `..`, not too long."""
        stem, dot, extension = name.rpartition(".")
        parts = [part for part in re.split(r"[/\\]", stem) if part.strip(". ")]
        plain = re.sub(r"[^\w.+-]", "_", "_".join(parts)).strip(".") or "image"
        # 60 letters of 4 bytes each still fit where names have 255 bytes
        return self._unused(f"{plain[-60:].lstrip('.')}{dot}{extension.lower()}")

    def give_row(self, path: str | None, row: int) -> str:
        """An unused name for a row of a table: like its path, or the row's number if that is no image's name."""
        is_image = path is not None and path.lower().endswith(EXTENSIONS)
        return self.give(path) if path is not None and is_image else self._unused(f"{row:09d}")

    def _unused(self, name: str) -> str:
        """The name, or one with a number if an earlier image has it, also in file systems that ignore case."""
        stem, dot, extension = name.rpartition(".") if "." in name else (name, "", "")
        candidate, number = name, self._taken.get(name.lower(), 0)
        while candidate.lower() in self._taken:
            number += 1
            candidate = f"{stem}-{number}{dot}{extension}"
        self._taken[name.lower()] = number
        self._taken.setdefault(candidate.lower(), 0)
        return candidate
