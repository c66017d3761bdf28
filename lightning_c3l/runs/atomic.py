"""Files that are either whole or absent: written beside their place, then renamed onto it."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

_RUST_OS_ERROR = re.compile(r"\(os error (\d+)\)")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path to write, which becomes `path` when the block ends well.

    The temporary file lies in the same folder (a rename over file systems is not atomic), has a hidden name
    of its own (two processes may write the same file; the last one wins) and keeps the extension, which some
    writers look at. What the disk has is complete too: file and folder are synced before and after the rename, so that
    neither an interrupted process nor a power cut leaves half of it.

    Args:
        path: the file to write; missing parent folders are created. A symbolic link stays, the file it points to is
            replaced.

    Yields:
        The temporary path. It does not exist yet.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    target = followed(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".tmp-{uuid4().hex}{Path(path).suffix[:20]}"
    try:
        with naming(target):
            yield temporary
            _sync(temporary)
            os.replace(temporary, target)
            sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: str | Path) -> None:
    """Refuse a file or folder that could not be made, before there is anything to write.

    Raises:
        OSError: its folder, or the nearest one above that there is, is no folder or cannot be written to.
    """
    folder = followed(path).absolute().parent
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{path} cannot be written: not a folder", str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"{path} cannot be written: no permission", str(nearest))


def followed(path: str | Path) -> Path:
    """The path a symbolic link leads to, whether or not anything is there; any other path as it is."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of the system that name no file, as that of a full disk, name this one.

    Libraries written in Rust, as safetensors and tokenizers, have error classes of their own for them.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        if (found := _RUST_OS_ERROR.search(str(error))) is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows the names of a folder's files; not every file system can be asked to."""
    with suppress(OSError):
        _sync(folder)


def sync_tree(folder: Path) -> None:
    """Wait until the disk has all files of a folder, and their names."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync(Path(place) / name)
        sync_folder(Path(place))


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Writes UTF-8 text with its line ends as they are, whole or not at all.

    Half a surrogate pair, as file names that are no UTF-8 have, is written as an escape of ASCII.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_json_atomic(path: str | Path, obj: Any) -> None:
    """Writes one indented JSON document, whole or not at all.

    Raises:
        OSError: the folder or the file cannot be written.
        TypeError: `obj` holds something that JSON has no form for.
        ValueError: `obj` holds a number that is not finite, which is no JSON.
    """
    write_text_atomic(path, json.dumps(obj, indent=2, allow_nan=False) + "\n")


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Gives a temporary folder to fill, which becomes `path` when the block ends well; an old one is replaced.

    All files are synced before the rename, so that a power cut leaves no name without its content.

    Args:
        path: the folder to write; missing parent folders are created. A symbolic link stays, the folder it points to is
            replaced.

    Yields:
        The temporary folder, empty.

    Raises:
        OSError: the folder cannot be written.
    """
    target = followed(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (target.parent / f".tmp-{uuid4().hex}" for _ in range(2))
    temporary.mkdir()
    try:
        with naming(target):
            yield temporary
            sync_tree(temporary)
            if target.exists():
                # a folder with files in it cannot be replaced: one is always there but for the time between two renames
                os.replace(target, old)
            os.replace(temporary, target)
            sync_folder(target.parent)
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)
