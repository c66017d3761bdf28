"""Images whose files lie in a column of Parquet tables."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from data_modules.images.folders import check_limit
from data_modules.images.names import ImageNames
from data_modules.loading.decoding import UnreadableImage

# a row group is read as a whole; arrow cannot hold columns of nested bytes beyond 2 GiB
_MOST_BYTES = 1 << 30
# row groups in memory
_KEPT = 2


class ParquetImages:
    """Images in a column of bytes, of `{bytes, path}` as Hugging Face's `datasets` writes them, or of lists of either.

    Keys are the paths made plain and unique, or the images' numbers where a path names none (the rows', unless there
    are lists). The row groups last read stay in memory, so that reading in order reads each once.

    Args:
        files: Parquet files, in order.
        column: the column; may be left out where one is named `image` or only one can be meant.
        limit: only the first so many images.

    Raises:
        ValueError: a file is no Parquet, has no such column or row groups that are too large, or there is no row.
        OSError: a file cannot be read.
    """

    root: Path | None = None

    def __init__(self, files: Sequence[str], column: str | None = None, limit: int | None = None) -> None:
        check_limit(limit)
        self._groups: list[tuple[str, int, str]] = []  # file, number, column
        self._starts: list[int] = []  # first image of each group
        names = ImageNames()
        self._rows: dict[str, int] = {}
        for file in tqdm(files, desc="list tables", unit="table", leave=False, delay=2):
            left = None if limit is None else limit - len(self._rows)
            for path in islice(_guarded(file, self._paths(file, column)), left):
                self._rows[names.give_row(path, len(self._rows))] = len(self._rows)
        if not self._rows:
            raise ValueError(f"{', '.join(files)}: no row")
        self._keys = tuple(self._rows)
        self._read: dict[int, Any] = {}  # the groups last read

    def keys(self) -> Sequence[str]:
        """Names of the rows, in the files' order."""
        return self._keys

    def raw(self, key: str) -> bytes:
        """The bytes of one image.

        Raises:
            UnreadableImage: the row has none, or the file is damaged or gone.
        """
        row = self._rows[key]
        group = bisect_right(self._starts, row) - 1
        file = self._groups[group][0]
        try:
            value = self._group(group)[row - self._starts[group]]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UnreadableImage(f"{file}: {error}") from error
        found = value.as_py()
        data = found["bytes"] if isinstance(found, dict) else found
        if data is None:
            raise UnreadableImage("the row has no bytes")
        return bytes(data)

    def _group(self, group: int) -> Any:
        read = self._read.get(group)
        if read is None:
            file, number, column = self._groups[group]
            with pq.ParquetFile(file) as table:
                read = _images(table, number, _leaf(table, column, "bytes"))
            # replaced as a whole: another thread may be reading
            self._read = dict([*self._read.items(), (group, read)][-_KEPT:])
        return read

    def _paths(self, file: str, wanted: str | None) -> Iterator[str | None]:
        """The path stored with each image; notes the row groups on the way."""
        with pq.ParquetFile(file) as table:
            column = _column(file, table.schema_arrow, wanted)
            kind = table.schema_arrow.field(column).type
            is_list = _is_list(kind)
            image = kind.value_type if is_list else kind
            has_path = (
                pa.types.is_struct(image) and image.get_field_index("path") >= 0 and _is_text(image.field("path").type)
            )
            for number in range(table.num_row_groups):
                group = table.metadata.row_group(number)
                _check_size(file, number, group, column)
                self._starts.append(len(self._rows))
                self._groups.append((file, number, column))
                if not has_path:
                    count = len(_images(table, number, _leaf(table, column, "bytes"))) if is_list else group.num_rows
                    yield from [None] * count
                    continue
                paths = _images(table, number, _leaf(table, column, "path"))
                yield from (None if one is None else one["path"] for one in paths.to_pylist())


def _leaf(table: Any, column: str, field: str) -> str:
    """The path in the file's schema of a field of the images; that of the column where they have no fields."""
    paths = (table.schema.column(number).path for number in range(len(table.schema)))
    return next((one for one in paths if one.startswith(f"{column}.") and one.endswith(f".{field}")), column)


def _images(table: Any, number: int, leaf: str) -> Any:
    """One leaf of a row group, an item for each image."""
    # arrow's threads do not survive the forking of a data loader's workers
    read = table.read_row_group(number, columns=[leaf], use_threads=False).column(0)
    return pc.list_flatten(read) if _is_list(read.type) else read


def _guarded(file: str, paths: Iterator[str | None]) -> Iterator[str | None]:
    try:
        yield from paths
    except pa.ArrowException as error:
        raise ValueError(f"{file}: no readable Parquet file: {error}") from error


def _column(file: str, schema: Any, wanted: str | None) -> str:
    fitting = [field.name for field in schema if _holds_bytes(field.type)]
    if wanted is not None:
        if wanted in fitting:
            return wanted
        raise ValueError(f"{file}: no column {wanted!r} with images; such with bytes: {', '.join(fitting) or 'none'}")
    if "image" in fitting or len(fitting) == 1:
        return "image" if "image" in fitting else fitting[0]
    if not fitting:
        raise ValueError(f"{file}: no column of bytes or of {{bytes, path}}; it has {', '.join(schema.names)}")
    raise ValueError(f"{file}: several columns with bytes; name one as {file}::{fitting[0]} ({', '.join(fitting)})")


def _holds_bytes(kind: Any) -> bool:
    if _is_list(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_binary(kind.field("bytes").type)
    return _is_binary(kind)


def _is_binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _check_size(file: str, number: int, group: Any, column: str) -> None:
    chunks = (group.column(index) for index in range(group.num_columns))
    size = sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] == column.split(".")[0])
    if size > _MOST_BYTES:
        raise ValueError(
            f"{file}: row group {number} holds {size / 2**30:.1f} GiB of images, which is too much to read at once; "
            "write the file with row_group_size=1000"
        )
