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
from data_modules.formats.forms import is_forms
from data_modules.formats.json_text import Raw, Take
from data_modules.formats.json_window import StrictDecoder
from data_modules.formats.media import refuse_other_media, refuse_unread
from data_modules.formats.pictures import to_picture
from data_modules.formats.record import Entry, Message, Record
from data_modules.formats.turns import Slot, read_text
from data_modules.shard_files import one_line

COLUMNS = ("id", "images", "messages", "extra")
# note in the file's schema: what the records were converted from
DIALECT = "c3l_dialect"
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
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: no Parquet file, or damaged: {one_line(error)}") from error


def _rows_of(batch: Any) -> list[Any]:
    """Rows as Python has them; of one that it cannot have (text that is no UTF-8, a date too far away) the reason."""
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            return [f"cannot be read: {one_line(error)}"]
        return [row for place in range(batch.num_rows) for row in _rows_of(batch.slice(place, 1))]


def _ours(number: int, row: dict[str, Any], decoder: StrictDecoder) -> Entry:
    try:
        extra = decoder.whole(row["extra"]) if row["extra"] is not None else {}
        if not isinstance(extra, dict) or not row["messages"]:
            raise ValueError("'messages' is empty, or 'extra' is no object")
        slots: list[Slot] = []
        messages = [Message(one["role"], *read_text(one["content"], slots, one["role"])) for one in row["messages"]]
        if row["id"] is not None:
            extra = {"id": row["id"]} | extra
        pictures = in_order([to_picture(one) for one in row["images"] or ()], slots, messages)
        if any(not isinstance(message.role, str) or not isinstance(message.text, str) for message in messages):
            raise ValueError("a message has no role or no text")
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


def _theirs(number: int, row: dict[str, Any]) -> Raw:
    images = ("image", "images")
    try:
        return number, {k: value if k in images else _plain(value) for k, value in row.items()}, ()
    except ValueError as error:
        return Entry(number, None, str(error))


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
    raise ValueError(f"a column holds {type(value).__name__}, which JSON has no form for")
