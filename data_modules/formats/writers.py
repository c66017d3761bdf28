"""Records to files, by the file's extension."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from data_modules.formats.dialects import DIALECTS
from data_modules.formats.images import extracted, is_inline
from data_modules.formats.parquet_writer import ParquetRows
from data_modules.formats.record import Inexpressible, Picture, Record
from data_modules.formats.shard_writer import ShardWriter
from data_modules.formats.text_writers import Cells, JsonText
from lightning_c3l.runs.atomic import atomic_path

WRITABLE = (".json", ".jsonl", ".parquet", ".tar", ".csv")
# formats that can carry the images' files
_WITH_IMAGES = (".parquet", ".tar")


class Writer(Protocol):
    """What takes records."""

    def write(self, record: Record, number: int) -> None:
        """Adds a record; the number is its place in the set.

        Raises:
            Inexpressible: the format cannot hold it. Nothing of it is written, and others can be.
            OSError: the file cannot be written.
        """


def check_target(path: str | Path, lossy: bool = False) -> str:
    """The file's extension.

    Raises:
        ValueError: nothing can be written under such a name.
    """
    kind = Path(path).suffix.lower()
    if kind not in WRITABLE:
        raise ValueError(f"{path}: cannot be written; known are {', '.join(WRITABLE)}")
    if kind == ".csv" and not lossy:
        raise ValueError(f"{path}: a CSV file cannot hold whole records; give --lossy")
    return kind


def holds_images(path: str | Path) -> bool:
    """Whether a set of this name can carry the images' files."""
    return Path(path).suffix.lower() in _WITH_IMAGES


@contextmanager
def open_writer(
    path: str | Path,
    dialect: str | None = None,
    *,
    lossy: bool = False,
    image_root: Path | None = None,
    extract_to: Path | None = None,
    embed: bool = False,
) -> Iterator[Writer]:
    """Gives a writer; the file is there, whole, when the block ends well.

    Args:
        path: the file: `.json` (a list), `.jsonl`, `.parquet`, `.tar` or `.csv`.
        dialect: how a JSON record looks, `llava` unless given; Parquet and CSV have their own columns.
        lossy: write what the format cannot hold as near as possible instead of failing. CSV is always lossy.
        image_root: folder that image paths are relative to, for a format that carries the images.
        extract_to: folder for the images that the records carry, which are named in the records then.
        embed: carry the images in Parquet.

    Raises:
        ValueError: no such format or dialect.
        OSError: the file cannot be written.
    """
    target = _Target(dialect or "llava", lossy, image_root, extract_to, embed)
    kind = check_target(path, lossy)
    if target.dialect not in DIALECTS:
        raise ValueError(f"{target.dialect}: no such dialect; known are {', '.join(DIALECTS)}")
    with atomic_path(path) as temporary, _closing(_format(kind, temporary, target)) as made:
        yield _WithImages(made, target)


@dataclass(frozen=True)
class _Target:
    dialect: str
    lossy: bool
    image_root: Path | None
    extract_to: Path | None
    embed: bool


class _Format(Protocol):
    def write(self, record: Record, number: int) -> None:
        """Adds a record."""

    def close(self) -> None:
        """Writes what is left."""


def _format(kind: str, path: Path, target: _Target) -> _Format:
    if kind == ".tar":
        return ShardWriter(path, target.dialect, target.lossy, target.image_root)
    if kind == ".parquet":
        return ParquetRows(path, target.embed, target.lossy, target.image_root, target.dialect)
    return Cells(path) if kind == ".csv" else JsonText(path, kind == ".json", target.dialect, target.lossy)


@contextmanager
def _closing(made: _Format) -> Iterator[_Format]:
    """Closes what is written to; after an error only its file handle matters, the file itself goes away."""
    try:
        yield made
    except BaseException:
        with suppress(Exception):
            made.close()
        raise
    made.close()


class _WithImages:
    """Settles where the images go that a record carries."""

    def __init__(self, inner: _Format, target: _Target) -> None:
        self._inner, self._target = inner, target
        self._carries = isinstance(inner, ShardWriter) or (isinstance(inner, ParquetRows) and target.embed)

    def write(self, record: Record, number: int) -> None:
        try:
            if record.pictures and (self._target.extract_to is not None or not self._carries):
                record = self._settled(record)
            self._inner.write(record, number)
        except RecursionError as error:
            raise Inexpressible("nested too deeply") from error

    def _settled(self, record: Record) -> Record:
        if all(picture.data is None for picture in record.pictures):
            return record
        return replace(record, pictures=tuple(map(self._picture, record.pictures)))

    def _picture(self, picture: Picture) -> Picture:
        if picture.data is None:
            return picture
        if self._target.extract_to is not None:
            return extracted(picture, self._target.extract_to)
        if is_inline(picture):
            return picture
        if not self._target.lossy:
            raise Inexpressible(f"it carries the image {picture.name!r}, which must be extracted or embedded")
        return Picture(picture.name)
