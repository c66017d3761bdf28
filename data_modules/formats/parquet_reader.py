"""Parquet files: our own columns, and rows of other people's in whose columns a dialect is recognised.

Ours are `id`, `images` (paths, or `{bytes, path}` as Hugging Face's `datasets` has images), `messages` (`role` and
`content`, with `<image>` where an image stands) and `extra`: all other fields as a JSON text, null where there is none.
"""

import math
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_modules.formats.dialect_reading import in_order
from data_modules.formats.dialects import DIALECTS
from data_modules.formats.fields import FORMS, with_message_extras, without_escape
from data_modules.formats.foreign import IMAGE_FIELDS
from data_modules.formats.forms import is_forms
from data_modules.formats.images import to_picture
from data_modules.formats.json_reader import Raw, Take
from data_modules.formats.json_window import StrictDecoder
from data_modules.formats.messages import Slot, read_text
from data_modules.formats.record import Entry, Message, Record
from data_modules.formats.unsupported import refuse_other_media, refuse_unread
from data_modules.images.shard_files import one_line

COLUMNS = ("id", "images", "messages", "extra")
# note in the file's schema: what the records were converted from
DIALECT = "c3l_dialect"
_IMAGES = ("image", "images", *IMAGE_FIELDS)
_ROWS, _ROWS_WITH_IMAGES = 8192, 32


def raw_records(path: Path, take: Take) -> Iterator[Raw]:
    """The file's rows that `take` accepts by their number.

    Raises:
        ValueError: no Parquet file, or damaged.
        OSError: the file cannot be read.
    """
    with _opened(path) as file:
        is_ours = tuple(file.schema_arrow.names) == COLUMNS
        holds_bytes = any("binary" in str(column.type) for column in file.schema_arrow)
        decoder, number = StrictDecoder(), 0
        try:
            for batch in file.iter_batches(batch_size=_ROWS_WITH_IMAGES if holds_bytes else _ROWS):
                wanted = [row for row in range(batch.num_rows) if take(number + row + 1)]
                rows = _rows_of(batch.take(pa.array(wanted, pa.int64()))) if wanted else []
                for place, row in zip(wanted, rows, strict=True):
                    if isinstance(row, str):
                        yield Entry(number + place + 1, None, row)
                    else:
                        yield _ours(number + place + 1, row, decoder) if is_ours else _theirs(number + place + 1, row)
                number += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            yield Entry(number + 1, None, f"damaged, the rest cannot be read: {one_line(error)}")


def dialect(path: Path) -> str:
    """What our own columns were converted from, `messages` where the file does not say."""
    with _opened(path) as file:
        noted = (file.schema_arrow.metadata or {}).get(DIALECT.encode(), b"")
    return next((name for name in DIALECTS if name.encode() == noted), "messages")


def count(path: Path) -> int:
    """The number of rows."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def _opened(path: Path) -> Any:
    path.open("rb").close()  # an OSError that names the file, if it cannot be read
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: no Parquet file, or damaged: {one_line(error)}") from error
    _check_columns(path, file.schema_arrow)
    return file


def _check_columns(path: Path, schema: Any) -> None:
    """Refuse binary data in other columns than that of the images: no other format could keep it."""
    own = [name for name in ("image", "images") if name in schema.names]
    others = [name for name in IMAGE_FIELDS if name in schema.names]
    read = own or others[:1] or ["image"]
    for column in schema:
        # parts of messages may be images too
        if "binary" in str(column.type) and column.name not in (*read, "messages", "conversations"):
            raise ValueError(
                f"{path}: column {column.name!r} holds binary data, which is not read: drop the column, or rename it "
                f"if it holds the images, which are read from {' and '.join(map(repr, read))}"
            )


def _rows_of(batch: Any) -> list[Any]:
    """Rows as Python has them; of one that it cannot have (text that is no UTF-8, a date too far away) the reason."""
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            return [f"column {_unreadable_column(batch)!r} cannot be read: {one_line(error)}"]
        return [row for place in range(batch.num_rows) for row in _rows_of(batch.slice(place, 1))]


def _unreadable_column(row: Any) -> str:
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            column.to_pylist()
        except (ValueError, OverflowError):
            return str(name)
    return ""


def _ours(number: int, row: dict[str, Any], decoder: StrictDecoder) -> Entry:
    try:
        extra = _extra(row["extra"], decoder)
        if not row["messages"]:
            raise ValueError("column 'messages' is empty")
        slots: list[Slot] = []
        messages = [Message(one["role"], *read_text(one["content"], slots, one["role"])) for one in row["messages"]]
        if row["id"] is not None:
            extra = {"id": row["id"]} | extra
        pictures = in_order([to_picture(one) for one in row["images"] or ()], slots, messages)
        if any(not isinstance(message.role, str) or not isinstance(message.text, str) for message in messages):
            raise ValueError("column 'messages' has one without a role or text")
    except (ValueError, TypeError) as error:
        return Entry(number, None, str(error))
    except (LookupError, AttributeError) as error:  # columns of our names that are not ours
        return Entry(number, None, f"its columns are not those that are written here: {error}")
    extra = with_message_extras(messages, extra)
    forms = {}
    if is_forms(extra.get(FORMS)):
        forms = extra[FORMS]
        extra = {name: value for name, value in extra.items() if name != FORMS}
    record = Record(pictures, tuple(messages), without_escape(extra), forms)
    try:
        refuse_other_media(record.extra)
        refuse_unread(record)
    except ValueError as error:
        return Entry(number, None, str(error))
    return Entry(number, record)


def _extra(text: str | None, decoder: StrictDecoder) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        extra = decoder.whole(text)
    except ValueError as error:
        raise ValueError(f"column 'extra' holds {error}") from error
    if not isinstance(extra, dict):
        raise ValueError("column 'extra' holds no object")
    return extra


def _theirs(number: int, row: dict[str, Any]) -> Raw:
    found = {}
    for name, value in row.items():
        try:
            found[name] = value if name in _IMAGES else _plain(value)
        except ValueError as error:
            return Entry(number, None, f"column {name!r} {error}")
    return number, found, ()


def _plain(value: Any) -> Any:
    """The value as JSON has it: no number is null, dates and decimals are texts. Images inside of messages stay."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return value if isinstance(value.get("bytes"), bytes) else {str(k): _plain(one) for k, one in value.items()}
    if isinstance(value, (date, datetime, time, Decimal)):
        return str(value)
    raise ValueError(f"holds {type(value).__name__}, which JSON has no form for")


def refuse_bytes(record: Record) -> None:
    """Refuse a record that holds binary data beside its images, which none of the other formats could keep.

    Raises:
        ValueError: names the turn and the field.
    """
    for place, message in enumerate(record.messages, start=1):
        for name, value in message.extra.items():
            if _holds_bytes(value):
                raise ValueError(f"turn {place}: field {name!r} holds binary data, which is not read")


def _holds_bytes(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return any(map(_holds_bytes, value.values() if isinstance(value, dict) else value))
    return isinstance(value, bytes)
