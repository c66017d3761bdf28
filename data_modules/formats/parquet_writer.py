"""Records to our columns of Parquet (see `parquet.py`)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_modules.formats.fields import ESCAPED, FORMS, MESSAGE_EXTRA, message_extras, unescaped
from data_modules.formats.images import is_inline, picture_bytes, reference
from data_modules.formats.messages import written_text
from data_modules.formats.parquet_reader import COLUMNS, DIALECT
from data_modules.formats.record import Inexpressible, Picture, Record

_MESSAGES = pa.struct([("role", pa.string()), ("content", pa.string())])
_EMBEDDED = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_TAKEN = frozenset((FORMS, MESSAGE_EXTRA))
_ROWS = 8192
# embedded images wait in memory until so many bytes are together
_BYTES = 64 << 20


class ParquetRows:
    """Writes our columns.

    Args:
        path: the file.
        embed: carry the images' files.
        lossy: write what cannot be said as near as possible.
        image_root: folder that image paths are relative to, for `embed`.
        dialect: to be noted in the file, as what its records are to be written in by default.
    """

    def __init__(
        self, path: Path, embed: bool, lossy: bool, image_root: Path | None, dialect: str | None = None
    ) -> None:
        self._embed, self._lossy, self._root = embed, lossy, image_root
        images = pa.list_(_EMBEDDED if embed else pa.string())
        types = (pa.string(), images, pa.list_(_MESSAGES), pa.string())
        noted = {DIALECT: dialect} if dialect else None
        self._schema = pa.schema(list(zip(COLUMNS, types, strict=True)), metadata=noted)
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._start()

    def write(self, record: Record, number: int) -> None:
        """Adds a row.

        Raises:
            Inexpressible: the record does not fit into one.
        """
        texts = [written_text(message, self._lossy) for message in record.messages]
        roles = [message.role for message in record.messages]
        images: list[Any] = [self._image(picture) for picture in record.pictures]
        name, more = _rest(record)
        extra = json.dumps(more) if more else None  # before anything is kept: it may be nested too deeply
        plain = [name or "", *texts, *roles, *(one["path"] if self._embed else one for one in images)]
        if not _is_unicode(plain):
            if not self._lossy:
                raise Inexpressible("a text holds half a surrogate pair, which UTF-8 cannot say")
            texts, roles = [_unicode(text) for text in texts], [_unicode(role) for role in roles]
            name = name and _unicode(name)
            images = [one | {"path": _unicode(one["path"])} if self._embed else _unicode(one) for one in images]
        self._roles += roles
        self._texts += texts
        self._ends.append(len(self._texts))
        self._ids.append(name)
        self._images.append(images)
        self._extras.append(extra)
        self._size += sum(len(one["bytes"] or b"") for one in images) if self._embed else 0
        if len(self._ids) >= _ROWS or self._size > _BYTES:
            self._flush()

    def close(self) -> None:
        """Writes what is left, and the end of the file."""
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

    def _image(self, picture: Picture) -> Any:
        if not self._embed:
            return reference(picture)
        if is_inline(picture) and picture.data is None:
            return {"bytes": None, "path": picture.name}
        try:
            return {"bytes": picture_bytes(picture, self._root), "path": picture.name}
        except Inexpressible:
            if not self._lossy:
                raise
            return {"bytes": None, "path": picture.name}


def _rest(record: Record) -> tuple[str | None, dict[str, Any]]:
    """The record's name where it is a text, and all that has no column."""
    extra = record.extra
    name = extra.get("id")
    if isinstance(name, str):
        extra = {field: value for field, value in extra.items() if field != "id"}
    if ESCAPED in extra or not _TAKEN.isdisjoint(extra):
        extra = unescaped(extra, _TAKEN)
    fields = message_extras(record.messages)
    if fields or record.forms:
        extra = extra | fields | ({FORMS: dict(record.forms)} if record.forms else {})
    return (name if isinstance(name, str) else None), extra


def _is_unicode(texts: Sequence[str]) -> bool:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


def _unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
