"""Rows that several processes make: each appends to a file of its own, and nothing is made twice.

Every run begins new files, and every line ends with a checksum of itself: what a killed process was writing, or what a
disk has spoilt since, does not count and is made again. Rows of a numbered set, which each process writes in ascending
order, can be merged in constant memory.
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
# a line's end: a row's last field is the checksum of the row without it
_TAIL = b', "crc": "%08x"}\n'
_TAIL_LENGTH = len(_TAIL % 0)
# files open at once while rows are merged
_OPEN = 200


class RowFiles:
    """The rows of one set, in a folder.

    Args:
        folder: created with the first row.
        key: field of a row that holds its number in the set, from 1.
    """

    def __init__(self, folder: Path, key: str = "record") -> None:
        self.folder, self.key = folder, key

    def writer(self, name: str) -> "RowWriter":
        """A new file of this process."""
        return RowWriter(self.folder / f"{name}-{uuid4().hex[:12]}.jsonl")

    def done(self, count: int) -> "Done":
        """Which of the numbers 1 to `count` have a row."""
        found = Done(count)
        for file in self._files():
            for row in _rows(file):
                found.add(int(row[self.key]))
        return found

    def has_rows(self) -> bool:
        """Whether there is an undamaged row."""
        return next(self.unordered(), None) is not None

    def unordered(self) -> Iterator[Row]:
        """All rows, file by file."""
        for file in self._files():
            yield from _rows(file)

    def rows(self) -> Iterator[Row]:
        """All rows of a numbered set in the order of their numbers, each number once.

        Many files are first merged into fewer, since a process may have only so many open; no other may write now.
        """
        while len(files := self._files()) > _OPEN:
            together = self.writer("merged")
            for row in self._merged(files[:_OPEN]):
                together.append([row])
            together.close()
            for file in files[:_OPEN]:
                file.unlink()
        yield from self._merged(files)

    def _merged(self, files: Sequence[Path]) -> Iterator[Row]:
        last = None
        for row in heapq.merge(*map(_rows, files), key=lambda row: int(row[self.key])):
            if row[self.key] != last:
                yield row
            last = row[self.key]

    def remove(self) -> None:
        """Take everything away: the manifest last, so that what is left of an interrupted removal is known."""
        for file in [*self._files(), *self.folder.glob("manifest.json")]:
            file.unlink()
        if self.folder.is_dir():
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))


class RowWriter:
    """Appends rows to one file, which appears with the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def append(self, rows: Sequence[Row]) -> None:
        """Hand rows over to the system at once.

        Raises:
            OSError: they cannot be written; names the file.
        """
        data = b"".join(map(_line, rows))
        with naming(self._path):
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("xb", buffering=0)
                sync_folder(self._path.parent)
            while data:  # an unbuffered file may take less
                data = data[self._file.write(data) :]

    def sync(self) -> None:
        """Wait until the disk has what was appended: from now on a power cut cannot take it."""
        if self._file is not None:
            with naming(self._path):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sync and close the file."""
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None


class Done:
    """A set of numbers from 1 to `count`, a bit each."""

    def __init__(self, count: int) -> None:
        self.count, self._bits = count, bytearray(count // 8 + 1)

    def add(self, number: int) -> None:
        """Put a number in; one beyond the end is passed over."""
        if 1 <= number <= self.count:
            self._bits[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        """Whether a number is in."""
        return 1 <= number <= self.count and bool(self._bits[number >> 3] & 1 << (number & 7))

    def __len__(self) -> int:
        """How many there are."""
        return sum(byte.bit_count() for byte in self._bits)


def _line(row: Row) -> bytes:
    # as ASCII, so that any text can be written
    body = json.dumps(row, allow_nan=False).encode("ascii")
    return body[:-1] + _TAIL % zlib.crc32(body)


def _rows(file: Path) -> Iterator[Row]:
    with file.open("rb") as lines:
        for line in lines:
            body = line[:-_TAIL_LENGTH] + b"}"
            if line[-_TAIL_LENGTH:] == _TAIL % zlib.crc32(body):
                yield json.loads(body)
