"""Records from files, whatever their container and dialect."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data_modules.formats.images import is_inline
from data_modules.formats.json_reader import JsonReader
from data_modules.formats.own_dialect import rewrite_of
from data_modules.formats.parquet_reader import ParquetReader
from data_modules.formats.record import Entry, Take
from data_modules.formats.shard_reader import ShardReader
from data_modules.images.shard_files import looks_like_shards

READABLE = (".json", ".jsonl", ".parquet", ".tar", ".tar.gz", ".tgz")
# records that are looked at for the layout of a set: its first ones may hold no image
_FIRST = 1000


@dataclass(frozen=True)
class Layout:
    """How a set lies in its file.

    Attributes:
        container: json, jsonl, parquet or tar.
        dialect: of its first record with images, or of its first one; for our own Parquet columns the one that they
            were converted from.
        carries_images: the images' files are in it, as members or bytes; `data:` URLs do not count, any JSON has them.
    """

    container: str
    dialect: str
    carries_images: bool


def open_reader(source: str | Path, read_as: str | None = None) -> JsonReader | ParquetReader | ShardReader:
    """The reader for a file, by the end of its name. Its `files` are those that the set lies in, none for a pipe.

    Args:
        source: as of `read_records`.
        read_as: likewise.

    Raises:
        ValueError: no reader for such a name, or no such dialect.
    """
    name, rewrite = str(source), rewrite_of("read_as", read_as)
    suffix = Path(name).suffix.lower()
    if suffix in (".json", ".jsonl", ".parquet") and not name.startswith("pipe:"):
        return ParquetReader(Path(name), rewrite) if suffix == ".parquet" else JsonReader(Path(name), rewrite)
    if looks_like_shards(name):
        return ShardReader(name, rewrite)
    hint = "; write each row as a JSON line with image, question and answer" if suffix in (".csv", ".tsv") else ""
    raise ValueError(f"{name}: cannot be read; known are {', '.join(READABLE)}{hint}")


def read_records(source: str | Path, take: Take = lambda number: True, read_as: str | None = None) -> Iterator[Entry]:
    """The records of a set, one after the other, in constant memory.

    Args:
        source: a `.json` (a list or one object a line), `.jsonl` or `.parquet` file, or WebDataset shards (`.tar`,
            `.tar.gz`, `.tgz`, brace ranges, `pipe:`).
        take: whether the record of a number (from 1) is wanted; others are passed over without being parsed.
        read_as: dotted path of a dialect of the user's own, by which records are rewritten first. It is code: it may
            come from the command line or an experiment file alone.

    Yields:
        Each record, or why it is broken.

    Raises:
        ValueError: nothing of the set can be read.
        OSError: likewise.
    """
    for entry in open_reader(source, read_as).entries(take):
        if entry is not None:
            yield entry


def count_records(source: str | Path) -> int:
    """The number of entries that `read_records` gives, in constant memory.

    Raises:
        ValueError: nothing of the set can be read.
        OSError: likewise.
    """
    return open_reader(source).count()


def read_layout(source: str | Path, read_as: str | None = None) -> Layout:
    """How a set lies in its file, by its first records; the arguments are those of `read_records`.

    Raises:
        ValueError: nothing of the set can be read.
        OSError: likewise.
    """
    container, dialect = open_reader(source).container, ""
    for entry in islice(read_records(source, read_as=read_as), _FIRST):
        if (record := entry.record) is None:
            continue
        if record.images:
            carried = any(image.data is not None and not is_inline(image) for image in record.images)
            return Layout(container, record.dialect, carried)
        dialect = dialect or record.dialect
    return Layout(container, dialect or "llava", False)
