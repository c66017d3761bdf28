"""Row files: JSON lines with checksums, which several processes append to, each to a file of its own.

Each start of a process opens a new file. A line that a killed process left unfinished, or that was damaged since, fails
its checksum and is ignored, so its row is made again. Numbered rows, which each process appends in ascending order, are
merged in constant memory.
"""

import heapq
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from lightning_c3l.runs.atomic import naming, sync_folder

Row = dict[str, Any]
# end of a line: the last field is the checksum of the row without it
_TAIL = b', "crc": "%08x"}\n'
_TAIL_LENGTH = len(_TAIL % 0)
# field that holds the number of a row, from 1
_NUMBER = "record"
# maximum number of files that a merge opens at once
_OPEN = 200


class RowFiles:
    """The row files of a folder.

    Args:
        folder: created with the first row.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def writer(self, name: str) -> "RowWriter":
        """A writer to a new file, whose name starts with `name`."""
        return RowWriter(self.folder / f"{name}-{uuid4().hex[:12]}.jsonl")

    def done(self, count: int) -> "Done":
        """The numbers from 1 to `count` that have a row."""
        found = Done(count)
        for file in self.paths():
            for row in _rows(file):
                found.add(int(row[_NUMBER]))
        return found

    def has_rows(self) -> bool:
        """Whether there is an undamaged row."""
        return next(self.unordered(), None) is not None

    def unordered(self) -> Iterator[Row]:
        """Yield all rows, file by file."""
        for file in self.paths():
            yield from _rows(file)

    def rows(self) -> Iterator[Row]:
        """Yield numbered rows in ascending order, one per number.

        If there are more files than a process may open, they are merged into fewer first; nobody may append meanwhile.
        """
        while len(files := self.paths()) > _OPEN:
            merged = self.writer("merged")
            for row in self._merged(files[:_OPEN]):
                merged.append([row])
            merged.close()
            for file in files[:_OPEN]:
                file.unlink()
        yield from self._merged(files)

    def _merged(self, files: Sequence[Path]) -> Iterator[Row]:
        last = None
        for row in heapq.merge(*map(_rows, files), key=lambda row: int(row[_NUMBER])):
            if row[_NUMBER] != last:
                yield row
            last = row[_NUMBER]

    def remove(self) -> None:
        """Remove all files: the manifest last, so that the rest of an interrupted removal is recognised."""
        for file in [*self.paths(), *self.folder.glob("manifest.json")]:
            file.unlink()
        if self.folder.is_dir():
            self.folder.rmdir()

    def paths(self) -> list[Path]:
        """The files, in the order in which they are read."""
        return sorted(self.folder.glob("*.jsonl"))


class RowWriter:
    """Appends rows to one file, which is created with the first row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def append(self, rows: Sequence[Row]) -> None:
        """Append rows; the operating system has them when it returns.

        Raises:
            OSError: if they cannot be written; names the file.
        """
        data = b"".join(map(_line, rows))
        with naming(self.path):
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("xb", buffering=0)
                sync_folder(self.path.parent)
            while data:  # an unbuffered write may be partial
                data = data[self._file.write(data) :]

    def sync(self) -> None:
        """Wait until the disk has all rows, so that a power cut does not lose them."""
        if self._file is not None:
            with naming(self.path):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sync and close the file."""
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None


class Done:
    """A set of numbers from 1 to `count`, one bit each."""

    def __init__(self, count: int) -> None:
        self.count, self._bits = count, bytearray(count // 8 + 1)

    def add(self, number: int) -> None:
        """Add a number; one out of range is ignored."""
        if 1 <= number <= self.count:
            self._bits[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        """Whether a number is in the set."""
        return 1 <= number <= self.count and bool(self._bits[number >> 3] & 1 << (number & 7))

    def __len__(self) -> int:
        """Size of the set."""
        return sum(byte.bit_count() for byte in self._bits)


def _line(row: Row) -> bytes:
    # as ASCII, so that any text can be written
    body = json.dumps(row, allow_nan=False).encode("ascii")
    return body[:-1] + _TAIL % zlib.crc32(body)


def row_of(line: bytes) -> Row | None:
    """The row of a line with its end; None if it is unfinished or damaged."""
    body = line[:-_TAIL_LENGTH] + b"}"
    return json.loads(body) if line[-_TAIL_LENGTH:] == _TAIL % zlib.crc32(body) else None


def _rows(file: Path) -> Iterator[Row]:
    with file.open("rb") as lines:
        for line in lines:
            if (row := row_of(line)) is not None:
                yield row
