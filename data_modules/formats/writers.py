"""Records to files, by the file's extension."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from data_modules.formats.dialects import DIALECTS
from data_modules.formats.images import extract_image, is_inline
from data_modules.formats.own_dialect import own_dialect
from data_modules.formats.parquet_writer import ParquetRecordWriter
from data_modules.formats.record import ImageRef, Inexpressible, Record, WriteOptions
from data_modules.formats.shard_writer import ShardWriter
from data_modules.formats.text_writers import CsvWriter, JsonWriter
from lightning_c3l.extensions import is_path
from lightning_c3l.runs.atomic import atomic_path

# They write to one file, which has its end once it is closed; nothing is written of a record that raises Inexpressible.
FormatWriter = JsonWriter | CsvWriter | ParquetRecordWriter | ShardWriter

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
        images = list(record.images)
        for index, image in enumerate(images if is_moved else ()):
            if image.data is None:
                continue
            if self._options.extract_to is not None:
                images[index] = extract_image(image, self._options.extract_to)
            elif not is_inline(image):
                if not self._options.lossy:
                    raise Inexpressible(f"it carries the image {image.name!r}, which must be extracted or embedded")
                images[index] = ImageRef(image.name)
        try:
            self._inner.write(replace(record, images=tuple(images)), number)
        except RecursionError as error:
            raise Inexpressible("nested too deeply") from error


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
    if is_path(options.dialect):
        own = own_dialect("dialect", options.dialect)
        if getattr(own, "base", None) not in DIALECTS or not hasattr(own, "write"):
            raise ValueError(f"dialect {options.dialect}: cannot be written: it needs `write`, and ours as `base`")
    elif options.dialect not in DIALECTS:
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
