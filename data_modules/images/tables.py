"""Images whose bytes are in a column of Parquet files or of a saved Hugging Face data set."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_modules.images.names import ImageNames
from data_modules.loading.decoding import UnreadableImage
from lightning_c3l.lvlm.installation import install_command
from lightning_c3l.report.progress import track

# a row group is read as a whole; arrow cannot hold columns of nested bytes beyond 2 GiB
_MOST_BYTES = 1 << 30
# row groups in memory
_CACHED = 2


class ParquetImages:
    """Images in a column of bytes, of `{bytes, path}` as Hugging Face's `datasets` writes them, or of lists of either.

    Keys are the paths made plain and unique, or the images' numbers where a path names none (the rows', unless there
    are lists). The row groups last read stay in memory, so that reading in order reads each once.

    Args:
        files: Parquet files, in order.
        column: the column; may be left out where one is named `image` or only one can be meant.
        limit: only the first so many images.

    Raises:
        ValueError: a file is not Parquet, has no such column or row groups that are too large, or there is no row.
        OSError: a file cannot be read.
    """

    root: Path | None = None

    def __init__(self, files: Sequence[str], column: str | None = None, limit: int | None = None) -> None:
        self._groups: list[tuple[str, int, str]] = []  # file, number, column
        self._starts: list[int] = []  # first image of each group
        names = ImageNames()
        self._rows: dict[str, int] = {}
        for file in track(files, "list images", "tables"):
            left = None if limit is None else limit - len(self._rows)
            try:
                for path in islice(self._paths(file, column), left):
                    self._rows[names.give_row(path, len(self._rows))] = len(self._rows)
            except pa.ArrowException as error:
                raise ValueError(f"{file}: not a readable Parquet file: {error}") from error
        if not self._rows:
            raise ValueError(f"{', '.join(files)}: no row")
        self._keys = tuple(self._rows)
        self._read: dict[int, Any] = {}  # the groups last read

    def _paths(self, file: str, wanted: str | None) -> Iterator[str | None]:
        """The path stored with each image; fills the list of row groups on the way."""
        with pq.ParquetFile(file) as table:
            schema = table.schema_arrow
            column = _choose_column(file, [one.name for one in schema if _holds_bytes(one.type)], schema.names, wanted)
            kind = schema.field(column).type
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
                if has_path:
                    paths = _images(table, number, column, "path").to_pylist()
                    yield from (None if one is None else one["path"] for one in paths)
                else:
                    count = len(_images(table, number, column, "bytes")) if is_list else group.num_rows
                    yield from [None] * count

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
        file, number, column = self._groups[group]
        try:
            images = self._read.get(group)
            if images is None:
                with pq.ParquetFile(file) as table:
                    images = _images(table, number, column, "bytes")
                # replaced as a whole: another thread may be reading
                self._read = dict([*self._read.items(), (group, images)][-_CACHED:])
            found = images[row - self._starts[group]].as_py()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UnreadableImage(f"{file}: {error}") from error
        return _bytes(found["bytes"] if isinstance(found, dict) else found)


class SavedDatasetImages:
    """Images of a data set that `save_to_disk` wrote, memory-mapped, in the column `image` or the only one with images.

    Keys are the stored paths made plain and unique, or the numbers of the rows where a path names no image.

    Args:
        folder: what `save_to_disk` wrote.
        column: the column, where there are several.
        limit: only the first so many images.

    Raises:
        ValueError: `datasets` is not installed, the folder has several splits or is damaged, or no column fits.
    """

    root: Path | None = None

    def __init__(self, folder: Path, column: str | None = None, limit: int | None = None) -> None:
        if (folder / "dataset_dict.json").is_file():
            splits = sorted(path.parent.name for path in folder.glob("*/state.json"))
            raise ValueError(f"{folder}: holds several splits; give one of its folders: {', '.join(splits)}")
        try:
            import datasets  # an extra
        except ImportError as error:
            raise ValueError(f"{folder}: a saved data set needs the extra: {install_command('[datasets]')}") from error
        try:
            table: Any = datasets.load_from_disk(str(folder))
        except Exception as error:  # json, arrow and datasets each raise their own types
            raise ValueError(f"{folder}: the saved data set cannot be loaded: {error}") from error
        fitting = [name for name, kind in table.features.items() if isinstance(kind, datasets.Image)]
        self._column = _choose_column(str(folder), fitting, list(table.features), column)
        # the bytes as they are: only `decode_rgb` calls Pillow's decoders
        table = table.cast_column(self._column, datasets.Image(decode=False)).select_columns([self._column])
        self._table = table if limit is None else table.take(min(limit, len(table)))
        names = ImageNames()
        self._rows: dict[str, int] = {}
        for batch in self._table.with_format("arrow").iter(1000):
            for path in batch.column(0).combine_chunks().field("path").to_pylist():
                self._rows[names.give_row(path, len(self._rows))] = len(self._rows)
        if not self._rows:
            raise ValueError(f"{folder}: the data set has no row")
        self._keys = tuple(self._rows)

    def keys(self) -> Sequence[str]:
        """Names of the rows, in order."""
        return self._keys

    def raw(self, key: str) -> bytes:
        """The bytes of one image.

        Raises:
            UnreadableImage: the row has none.
        """
        image = self._table[self._rows[key]][self._column]
        return _bytes(None if image is None else image["bytes"])


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def _bytes(data: Any) -> bytes:
    if data is None:
        raise UnreadableImage("the row has no bytes")
    return bytes(data)


def _choose_column(source: str, fitting: Sequence[str], names: Sequence[str], wanted: str | None) -> str:
    """The column that is wanted, the one named `image`, or the only one with images."""
    if wanted is not None:
        if wanted in fitting:
            return wanted
        raise ValueError(f"{source}: no column {wanted!r} with images; columns with: {', '.join(fitting) or 'none'}")
    if "image" in fitting or len(fitting) == 1:
        return "image" if "image" in fitting else fitting[0]
    if not fitting:
        raise ValueError(f"{source}: no column of images (bytes or {{bytes, path}}); it has {', '.join(names)}")
    raise ValueError(
        f"{source}: several columns with images; name one as {source}::{fitting[0]} ({', '.join(fitting)})"
    )


def _images(table: Any, number: int, column: str, field: str) -> Any:
    """A field (`bytes`, `path`) of the images of a row group, or the images themselves where they have no fields."""
    leaves = (table.schema.column(index).path for index in range(len(table.schema)))
    leaf = next((one for one in leaves if one.startswith(f"{column}.") and one.endswith(f".{field}")), column)
    # arrow's threads do not survive the forking of a data loader's workers
    read = table.read_row_group(number, columns=[leaf], use_threads=False).column(0)
    return pc.list_flatten(read) if _is_list(read.type) else read


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
    """Refuse a row group that is too large to be read as a whole."""
    chunks = (group.column(index) for index in range(group.num_columns))
    size = sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] == column.split(".")[0])
    if size > _MOST_BYTES:
        raise ValueError(
            f"{file}: row group {number} holds {size / 2**30:.1f} GiB of images, which is too much to read at once; "
            "write the file with row_group_size=1000"
        )
