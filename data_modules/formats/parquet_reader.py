"""Parquet files: our own columns, and rows of other people's in whose columns a dialect is recognised.

Ours are `id`, `images` (paths, or `{bytes, path}` as Hugging Face's `datasets` has images), `messages` (`role` and
`content`, with `<image>` where an image stands) and `extra`: all other fields as a JSON text, null if there are none.
"""

import math
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_modules.formats.dialects import DIALECTS, parse_entry
from data_modules.formats.fields import ESCAPED, PROMPTS, escape_fields
from data_modules.formats.foreign import OTHER_IMAGE_FIELDS
from data_modules.formats.own_dialect import Rewrite
from data_modules.formats.record import Entry, Take
from data_modules.formats.strict_json import StrictDecoder
from data_modules.images.shard_files import one_line

COLUMNS = ("id", "images", "messages", "extra")
# key in the metadata of the file's schema: the dialect that the records were converted from
DIALECT = "c3l_dialect"
_IMAGES = ("image", "images", *OTHER_IMAGE_FIELDS)
_ROWS, _ROWS_WITH_IMAGES = 8192, 32


class ParquetReader:
    """Reads a Parquet file.

    Args:
        path: the file.
        rewrite: rewrites records of a dialect of the user's own.
    """

    container = "parquet"

    def __init__(self, path: Path, rewrite: Rewrite | None = None) -> None:
        self.files, self._rewrite = [path], rewrite

    def entries(self, take: Take) -> Iterator[Entry | None]:
        """All entries, None for those that are not wanted, which are not converted from Arrow.

        Raises:
            ValueError: no Parquet file, or damaged, or with binary data in other columns than that of the images.
            OSError: the file cannot be read.
        """
        with self._open() as file:
            schema, decoder, number = file.schema_arrow, StrictDecoder(), 0
            is_ours = tuple(schema.names) == COLUMNS
            noted = (schema.metadata or {}).get(DIALECT.encode(), b"").decode("ascii", "replace")
            holds_bytes = any("binary" in str(column.type) for column in schema)
            try:
                for batch in file.iter_batches(batch_size=_ROWS_WITH_IMAGES if holds_bytes else _ROWS):
                    wanted = [take(number + row) for row in range(1, batch.num_rows + 1)]
                    rows = iter(_rows(batch.filter(pa.array(wanted, pa.bool_()))) if any(wanted) else ())
                    for is_wanted in wanted:
                        number += 1
                        own = decoder if is_ours else None
                        entry = _entry(number, next(rows), own, self._rewrite) if is_wanted else None
                        if is_ours and entry is not None and entry.record is not None and noted in DIALECTS:
                            entry.record.dialect = noted
                        yield entry
            except (pa.ArrowException, OSError) as error:
                yield Entry(number + 1, None, f"damaged, the rest cannot be read: {one_line(error)}")

    def count(self) -> int:
        """The number of rows."""
        with self._open() as file:
            return int(file.metadata.num_rows)

    def _open(self) -> Any:
        path = self.files[0]
        path.open("rb").close()  # an OSError that names the file, if it cannot be read
        try:
            file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path}: no Parquet file, or damaged: {one_line(error)}") from error
        names = file.schema_arrow.names
        own = [name for name in ("image", "images") if name in names]
        read = own or [name for name in OTHER_IMAGE_FIELDS if name in names][:1] or ["image"]
        for column in file.schema_arrow:
            # parts of messages may be images too; no other format could keep other binary data
            if "binary" in str(column.type) and column.name not in (*read, "messages", "conversations"):
                raise ValueError(
                    f"{path}: column {column.name!r} holds binary data, which is not read: drop the column, or rename "
                    f"it if it holds the images, which are read from {' and '.join(map(repr, read))}"
                )
        return file


def _rows(batch: Any) -> list[dict[str, Any] | str]:
    """Rows as Python has them; of one that it cannot have (text that is no UTF-8, a date too far away) the reason."""
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError) as error:
        if batch.num_rows > 1:
            return [row for index in range(batch.num_rows) for row in _rows(batch.slice(index, 1))]
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            try:
                column.to_pylist()
            except (ValueError, OverflowError):
                return [f"column {name!r} cannot be read: {one_line(error)}"]
        raise


def _entry(
    number: int, row: dict[str, Any] | str, decoder: StrictDecoder | None, rewrite: Rewrite | None = None
) -> Entry:
    """The record of a row; of our own columns if there is a decoder for `extra`."""
    if isinstance(row, str):
        return Entry(number, None, row)
    try:
        value = _theirs(row) if decoder is None else _ours(row, decoder)
        theirs = None if decoder is None else "messages"
        entry = parse_entry(number, value, dialect=theirs, rewrite=rewrite if decoder is None else None)
        for turn, message in enumerate(entry.record.messages if entry.record else (), start=1):
            for name, field in message.extra.items():
                if _holds_bytes(field):
                    raise ValueError(f"turn {turn}: field {name!r} holds binary data, which is not read")
    except (ValueError, TypeError) as error:
        return Entry(number, None, str(error))
    except (LookupError, AttributeError) as error:  # columns of our names that are not ours
        return Entry(number, None, f"its columns are not those that are written here: {error}")
    return entry


def _ours(row: dict[str, Any], decoder: StrictDecoder) -> dict[str, Any]:
    """A row of our columns as OpenAI's messages."""
    extra: Any = {}
    if row["extra"] is not None:
        try:
            extra = decoder.decode(row["extra"])
        except ValueError as error:
            raise ValueError(f"column 'extra' holds {error}") from error
        if not isinstance(extra, dict):
            raise ValueError("column 'extra' holds no object")
    if ESCAPED not in extra:  # older versions left these as they were
        extra = escape_fields(extra, ("image", "images", *PROMPTS))
    named = {} if row["id"] is None else {"id": row["id"]}
    return {**named, **extra, "images": row["images"], "messages": row["messages"]}


def _theirs(row: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in row.items():
        try:
            found[name] = _plain(value, name in _IMAGES)
        except ValueError as error:
            raise ValueError(f"column {name!r} {error}") from error
    return found


def _plain(value: Any, may_be_bytes: bool = False) -> Any:
    """The value as JSON has it: no number is null, dates and decimals are texts. The bytes of images stay."""
    if value is None or isinstance(value, (str, bool, int)) or (may_be_bytes and isinstance(value, bytes)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_plain(one, may_be_bytes) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one, name == "bytes") for name, one in value.items()}
    if isinstance(value, (date, datetime, time, Decimal)):
        return str(value)
    raise ValueError(f"holds {type(value).__name__}, which JSON has no form for")


def _holds_bytes(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return any(map(_holds_bytes, value.values() if isinstance(value, dict) else value))
    return isinstance(value, bytes)
