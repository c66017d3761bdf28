"""Records from files, whatever their container and dialect."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data_modules.formats import json_reader as json_text
from data_modules.formats import parquet_reader as parquet
from data_modules.formats import shard_reader as shards
from data_modules.formats.dialects import from_json, recognised
from data_modules.formats.images import attached, is_inline
from data_modules.formats.json_reader import Beside, Raw, Take
from data_modules.formats.record import Entry, Record
from data_modules.images.shard_files import expand, looks_like_shards

# records that are looked at for the layout of a set: its first ones may hold no image
_LOOK = 1000
READABLE = (".json", ".jsonl", ".parquet", ".tar", ".tar.gz", ".tgz")


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


def read_records(source: str | Path, take: Take = lambda number: True) -> Iterator[Entry]:
    """The records of a set, one after the other, in constant memory.

    Args:
        source: a `.json` (a list or one object a line), `.jsonl` or `.parquet` file, or WebDataset shards (`.tar`,
            `.tar.gz`, `.tgz`, brace ranges, `pipe:`).
        take: whether the record of a number (from 1) is wanted; others are passed over without being parsed.

    Yields:
        Each record, or why it is broken.

    Raises:
        ValueError: nothing of the set can be read.
        OSError: likewise.
    """
    container = container_of(source)
    for item in _raw_records(source, container, take):
        if isinstance(item, Entry):
            yield item
            continue
        number, value, beside = item
        try:
            yield Entry(number, _record(container, value, beside))
        except RecursionError:
            yield Entry(number, None, "nested too deeply")
        except ValueError as error:
            reason = str(error)
            yield Entry(number, None, shards.explained(value, beside, reason) if container == "tar" else reason)


def count_records(source: str | Path) -> int:
    """The number of entries that `read_records` gives, in constant memory.

    Raises:
        ValueError: nothing of the set can be read.
        OSError: likewise.
    """
    container = container_of(source)
    if container == "tar":
        return int(shards.count(str(source)))
    return parquet.count(Path(source)) if container == "parquet" else json_text.count(Path(source))


def layout(source: str | Path) -> Layout:
    """How a set lies in its file, by its first records.

    Raises:
        ValueError: nothing of the set can be read.
        OSError: likewise.
    """
    container, first = container_of(source), ""
    for item in islice(_raw_records(source, container, lambda number: True), _LOOK):
        try:
            dialect, record = _seen(source, container, item)
        except (ValueError, RecursionError):
            continue
        if record.pictures:
            carried = any(picture.data is not None and not is_inline(picture) for picture in record.pictures)
            return Layout(container, dialect, carried)
        first = first or dialect
    return Layout(container, first or "llava", False)


def files_of(source: str | Path) -> list[Path]:
    """The files that a set lies in; none for a command's output."""
    if container_of(source) != "tar":
        return [Path(source)]
    return [] if str(source).startswith("pipe:") else [Path(name) for name in expand(str(source))]


def container_of(source: str | Path) -> str:
    """The container by the name's end.

    Raises:
        ValueError: none that is read.
    """
    name = str(source)
    kind = Path(name).suffix.lower()
    if kind in (".json", ".jsonl", ".parquet") and not name.startswith("pipe:"):
        return kind[1:]
    if looks_like_shards(name):
        return "tar"
    raise ValueError(f"{name}: cannot be read; known are {', '.join(READABLE)}")


def _raw_records(source: str | Path, container: str, take: Take) -> Iterator[Raw]:
    if container == "tar":
        return shards.raw_records(str(source), take)
    read = parquet.raw_records if container == "parquet" else json_text.raw_records
    return read(Path(source), take)


def _record(container: str, value: object, beside: Beside) -> Record:
    record = from_json(value, [picture for _, picture in beside], keep_form=container != "parquet")
    if container == "parquet":
        parquet.refuse_bytes(record)
    return attached(record, beside) if beside else record


def _seen(source: str | Path, container: str, item: Raw) -> tuple[str, Record]:
    if not isinstance(item, Entry):
        return recognised(item[1]), _record(container, *item[1:])
    if item.record is None:
        raise ValueError(item.reason)
    return parquet.dialect(Path(source)), item.record
