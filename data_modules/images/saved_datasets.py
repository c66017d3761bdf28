"""Images of a Hugging Face data set that `save_to_disk` wrote."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_modules.images.folders import check_limit
from data_modules.images.names import ImageNames
from data_modules.loading.decoding import UnreadableImage


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


class SavedDatasetImages:
    """Images in the column `image`, or in the only column with images, memory-mapped and decoded by us.

    Keys are the stored paths made plain and unique, or the numbers of the rows where a path names no image.

    Args:
        folder: what `save_to_disk` wrote.
        column: the column, where there are several.
        limit: only the first so many images.

    Raises:
        ValueError: `datasets` is not installed, the folder holds several splits or is damaged, or no column fits.
    """

    root: Path | None = None

    def __init__(self, folder: Path, column: str | None = None, limit: int | None = None) -> None:
        check_limit(limit)
        datasets, table = _load(folder)
        self._column = _column(folder, datasets, table, column)
        # the bytes as they are: Pillow's decoders are called by `decode_rgb` alone
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
        if image is None or image["bytes"] is None:
            raise UnreadableImage("the row has no bytes")
        return bytes(image["bytes"])


def _load(folder: Path) -> tuple[Any, Any]:
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(path.parent.name for path in folder.glob("*/state.json"))
        raise ValueError(f"{folder}: holds several splits; give one of its folders: {', '.join(splits)}")
    try:
        import datasets  # an extra
    except ImportError as error:
        raise ValueError(
            f"{folder}: a saved data set needs the extra: pip install 'lightning_c3l[datasets]'"
        ) from error
    try:
        return datasets, datasets.load_from_disk(str(folder))
    except Exception as error:  # json, arrow and datasets each raise their own types
        raise ValueError(f"{folder}: the saved data set cannot be loaded: {error}") from error


def _column(folder: Path, datasets: Any, table: Any, wanted: str | None) -> str:
    fitting = [name for name, kind in table.features.items() if isinstance(kind, datasets.Image)]
    if wanted is not None and wanted not in fitting:
        raise ValueError(
            f"{folder}: no column {wanted!r} with images; such with images: {', '.join(fitting) or 'none'}"
        )
    if wanted is None and not fitting:
        raise ValueError(f"{folder}: no column of images; it has {', '.join(table.features)}")
    if wanted is None and len(fitting) > 1 and "image" not in fitting:
        raise ValueError(f"{folder}: several columns with images; name one as {folder}::{fitting[0]}")
    return wanted or ("image" if "image" in fitting else fitting[0])
