"""Records to our columns of Parquet (see `parquet_reader.py`)."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_modules.formats.dialects import escape_record_fields
from data_modules.formats.fields import message_fields
from data_modules.formats.images import image_bytes, image_reference, is_inline
from data_modules.formats.messages import write_text
from data_modules.formats.parquet_reader import COLUMNS, DIALECT
from data_modules.formats.record import ImageRef, Inexpressible, Record, WriteOptions

_MESSAGES = pa.struct([("role", pa.string()), ("content", pa.string())])
_EMBEDDED = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
# rows that wait in memory, at most so many and with so many bytes of images
_MOST_ROWS = 8192
_MOST_BYTES = 64 << 20


class ParquetRecordWriter:
    """Writes our columns.

    Args:
        path: the file.
        options: `embed` carries the images' files, from `image_root`; the dialect is noted in the file, as the one that
            its records are written in by default.
    """

    def __init__(self, path: Path, options: WriteOptions) -> None:
        self._options, self.carries_images = options, options.embed
        images = pa.list_(_EMBEDDED if options.embed else pa.string())
        types = (pa.string(), images, pa.list_(_MESSAGES), pa.string())
        self._schema = pa.schema(list(zip(COLUMNS, types, strict=True)), metadata={DIALECT: options.dialect})
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._start()

    def write(self, record: Record, number: int) -> None:
        """Add a row.

        Raises:
            Inexpressible: the record does not fit into one.
        """
        texts = [write_text(message, self._options.lossy) for message in record.messages]
        roles = [message.role for message in record.messages]
        names = [image.name if self._options.embed else image_reference(image) for image in record.images]
        data = [self._data(image) for image in record.images] if self._options.embed else []
        extra = escape_record_fields(record) | message_fields(record.messages)
        name = extra.pop("id") if isinstance(extra.get("id"), str) else None
        rest = json.dumps(extra) if extra else None  # before anything is kept: it may be nested too deeply
        try:
            "".join([name or "", *texts, *roles, *names]).encode()
        except UnicodeEncodeError as error:
            if not self._options.lossy:
                raise Inexpressible("a text holds half a surrogate pair, which UTF-8 cannot say") from error
            texts, roles, names = ([_unicode(one) for one in column] for column in (texts, roles, names))
            name = name and _unicode(name)
        self._roles += roles
        self._texts += texts
        self._ends.append(len(self._texts))
        self._ids.append(name)
        self._images.append([{"bytes": b, "path": p} for b, p in zip(data, names, strict=True)] if data else names)
        self._extras.append(rest)
        self._size += sum(len(one or b"") for one in data)
        if len(self._ids) >= _MOST_ROWS or self._size > _MOST_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the rows that wait, and the end of the file."""
        self._flush()
        self._file.close()

    def _start(self) -> None:
        self._ids: list[str | None] = []
        self._images: list[list[Any]] = []
        self._extras: list[str | None] = []
        self._roles: list[str] = []
        self._texts: list[str] = []
        self._ends, self._size = [0], 0

    def _flush(self) -> None:
        if self._ids:
            turns = pa.StructArray.from_arrays([pa.array(self._roles), pa.array(self._texts)], fields=list(_MESSAGES))
            messages = pa.ListArray.from_arrays(pa.array(self._ends, pa.int32()), turns)
            given = (self._ids, self._images, messages, self._extras)
            columns = [pa.array(one, kind) for one, kind in zip(given, self._schema.types, strict=True)]
            self._file.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._start()

    def _data(self, image: ImageRef) -> bytes | None:
        if is_inline(image) and image.data is None:
            return None
        try:
            return image_bytes(image, self._options.image_root)
        except Inexpressible:
            if self._options.lossy:
                return None
            raise


def _unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
