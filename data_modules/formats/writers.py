"""Records to files, by the file's extension."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from data_modules.formats.dialects import DIALECTS
from data_modules.formats.images import extract_image, is_inline
from data_modules.formats.parquet_writer import ParquetRecordWriter
from data_modules.formats.record import ImageRef, Inexpressible, Record, WriteOptions
from data_modules.formats.shard_writer import ShardWriter
from data_modules.formats.text_writers import CsvWriter, JsonWriter
from lightning_c3l.runs.atomic import atomic_path


class FormatWriter(Protocol):
    """Writes records to one file, which has its end once it is closed."""

    @property
    def carries_images(self) -> bool:
        """Whether the images' files go into it."""

    def write(self, record: Record, number: int) -> None:
        """Add a record; nothing of it is written if it raises Inexpressible."""

    def close(self) -> None:
        """Write what is left."""


_FORMATS: dict[str, Callable[[Path, WriteOptions], FormatWriter]] = {
    ".json": JsonWriter,
    ".jsonl": JsonWriter,
    ".parquet": ParquetRecordWriter,
    ".tar": ShardWriter,
    ".csv": CsvWriter,
}
WRITABLE = tuple(_FORMATS)


class RecordWriter:
    """Writes records, and their images where the format does not carry them."""

    def __init__(self, inner: FormatWriter, options: WriteOptions) -> None:
        self._inner, self._options = inner, options

    def write(self, record: Record, number: int) -> None:
        """Add a record.

        Args:
            record: the record.
            number: its number in the set, from 1.

        Raises:
            Inexpressible: the format cannot hold it. Nothing of it is written, and others can be.
            OSError: a file cannot be written.
        """
        is_moved = self._options.extract_to is not None or not self._inner.carries_images
        try:
            if is_moved and any(image.data is not None for image in record.images):
                record = replace(record, images=tuple(map(self._moved, record.images)))
            self._inner.write(record, number)
        except RecursionError as error:
            raise Inexpressible("nested too deeply") from error

    def _moved(self, image: ImageRef) -> ImageRef:
        """The image by the name of its file, if it is not inside the JSON."""
        if image.data is None:
            return image
        if self._options.extract_to is not None:
            return extract_image(image, self._options.extract_to)
        if is_inline(image):
            return image
        if not self._options.lossy:
            raise Inexpressible(f"it carries the image {image.name!r}, which must be extracted or embedded")
        return ImageRef(image.name)


def check_target(path: str | Path, lossy: bool = False) -> str:
    """The file's extension.

    Raises:
        ValueError: nothing can be written under such a name.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITABLE:
        raise ValueError(f"{path}: cannot be written; known are {', '.join(WRITABLE)}")
    if suffix == ".csv" and not lossy:
        raise ValueError(f"{path}: a CSV file cannot hold whole records; give --lossy")
    return suffix


def can_carry_images(path: str | Path) -> bool:
    """Whether a set of this name can carry the images' files."""
    return Path(path).suffix.lower() in (".parquet", ".tar")


@contextmanager
def open_writer(path: str | Path, options: WriteOptions | None = None) -> Iterator[RecordWriter]:
    """Open a writer; the file exists, whole, when the block ends well.

    Args:
        path: the file: `.json` (a list), `.jsonl`, `.parquet`, `.tar` or `.csv`, which is always lossy.
        options: how records are written, `WriteOptions()` unless given.

    Raises:
        ValueError: no such format or dialect.
        OSError: the file cannot be written.
    """
    options = options or WriteOptions()
    suffix = check_target(path, options.lossy)
    if options.dialect not in DIALECTS:
        raise ValueError(f"{options.dialect}: no such dialect; known are {', '.join(DIALECTS)}")
    with atomic_path(path) as temporary:
        inner = _FORMATS[suffix](temporary, options)
        try:
            yield RecordWriter(inner, options)
        except BaseException:
            # only its file handle matters: the file itself goes away
            with suppress(Exception):
                inner.close()
            raise
        inner.close()
