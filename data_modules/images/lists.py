"""Image files that a text file or COCO annotations name."""

import json
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_modules.images.folders import FolderImages

# number of names that are looked for to find the folder they belong to
_PROBED = 100


def open_list(path: Path, limit: int | None = None) -> FolderImages:
    """Images listed one path a line, absolute or relative to the list's folder.

    Blank lines and lines that begin with # are skipped, and a path listed twice counts once. The root is the list's
    folder, or the nearest folder above it that contains all listed files.

    Raises:
        ValueError: nothing is listed.
        OSError: the file cannot be read.
    """
    # names of files need not be UTF-8; the odd ones are rejected later, one by one
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    lines = [line for line in map(str.strip, text.split("\n")) if line and not line.startswith("#")]
    if not lines:
        raise ValueError(f"{path}: lists no image; give one path a line")
    folder = os.path.abspath(path.parent)
    files = list(dict.fromkeys(os.path.normpath(os.path.join(folder, line)) for line in lines))[:limit]
    return below_one_root(files, folder)


def below_one_root(files: Sequence[str], *folders: str) -> FolderImages:
    """These files, by their paths below the nearest folder that contains all of them.

    Args:
        files: absolute paths, each once; at least one.
        folders: that the root contains besides.
    """
    root = os.path.commonpath([*folders, *set(map(os.path.dirname, files))])
    return FolderImages.listed(Path(root), [file[len(root) :].lstrip("/") for file in files])


def open_coco(path: Path, folder: str | None = None, limit: int | None = None) -> FolderImages:
    """Images of COCO annotations: the `file_name`s under `images`.

    Unless it is given, their folder is the one that contains most of the first hundred, out of: the file's own,
    `images` beside it, the folder named after the file's split (`train2017` for `instances_train2017.json`) beside or
    above it or in an `images` folder there, and `images` above it.

    Args:
        path: the JSON file.
        folder: folder of the images, absolute or relative to the file's.
        limit: only the first so many images.

    Raises:
        ValueError: the file is no such annotations, or the images are in none of the folders.
        OSError: the file cannot be read.
    """
    names = list(dict.fromkeys(posixpath.normpath(name) for name in _file_names(path)))[:limit]
    if folder:
        folders = [path.parent / folder]
    else:
        beside, split = path.parent, path.stem.rpartition("_")[2]
        above = Path(os.path.normpath(os.path.abspath(beside) + "/.."))
        of_split = [parent / name for parent in (beside, above) for name in (split, f"images/{split}")]
        folders = [beside, beside / "images", *of_split, above / "images"]
    found = {one: sum(os.path.isfile(one / name) for name in names[:_PROBED]) for one in folders}
    best = max(found, key=lambda one: found[one])
    if not found[best]:
        looked = ", ".join(map(str, found))
        raise ValueError(f"{path}: its images are in none of {looked}; name their folder as {path}::FOLDER")
    return FolderImages.listed(best, names)


def _file_names(path: Path) -> list[str]:
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no valid JSON: {error}") from error
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list) or not images:
        raise ValueError(f"{path}: no COCO annotations, which have a list `images` with a `file_name` in each")
    for number, image in enumerate(images):
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str) or not image["file_name"]:
            raise ValueError(f"{path}: images[{number}] has no file_name")
    return [image["file_name"] for image in images]
