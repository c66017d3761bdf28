"""Where rows lie in row files, so that many of them can be read in any order without holding any."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.runs.row_files import Row, RowFiles, row_of

# maximum number of files that are open at once
_OPEN = 64


class RowIndex:
    """File and offset of each item's row: 12 bytes an item, whatever the rows weigh.

    Where an item has several rows, the last one that was read counts.

    Args:
        files: row files, which are only appended to.
        count: number of items.
        item: number of the item that a row is about, from 0; None for a row to ignore.
    """

    def __init__(self, files: RowFiles, count: int, item: Callable[[Row], int | None]) -> None:
        self._files, self._item = files, item
        self._file, self._offset = np.full(count, -1, np.int32), np.zeros(count, np.int64)
        # bytes of each file that have been read
        self._read: dict[Path, int] = {}
        self._paths: list[Path] = []
        self._open: OrderedDict[Path, IO[bytes]] = OrderedDict()

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether each item has a row, `[N]`."""
        return self._file >= 0

    def update(self, only: Path | None = None) -> None:
        """Read the rows that have been appended since the last time.

        Args:
            only: the one file to look at.
        """
        for path in self._files.paths():
            if only is None or path == only:
                self._update(path)

    def _update(self, path: Path) -> None:
        if path not in self._read:
            self._read[path] = 0
            self._paths.append(path)
        number = self._paths.index(path)
        with path.open("rb") as lines:
            lines.seek(offset := self._read[path])
            for line in lines:
                if not line.endswith(b"\n"):  # it may be being written
                    break
                row = row_of(line)
                if row is not None and (item := self._item(row)) is not None:
                    self._file[item], self._offset[item] = number, offset
                offset += len(line)
        self._read[path] = offset

    def rows(self, items: range) -> Iterator[Row]:
        """Yield the rows of those of these items that have one, in their order.

        Raises:
            OSError: if a file is gone or has changed.
        """
        for item in items:
            if self._file[item] < 0:
                continue
            path = self._paths[self._file[item]]
            lines = self._opened(path)
            lines.seek(self._offset[item])
            row = row_of(lines.readline())
            if row is None:
                raise OSError(f"{path}: has changed while it was read")
            yield row

    def close(self) -> None:
        """Close the files; they are opened again where they are needed."""
        while self._open:
            self._open.popitem()[1].close()

    def _opened(self, path: Path) -> IO[bytes]:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        if len(self._open) == _OPEN:
            self._open.popitem(last=False)[1].close()
        return self._open.setdefault(path, path.open("rb"))
