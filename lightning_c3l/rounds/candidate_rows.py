"""Candidate files: a line of JSON each, written as a stream and read row by row through an index of their offsets."""

import json
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.functional.finite import jsonable
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.runs.atomic import atomic_path

_SURROGATE = re.compile("[\ud800-\udfff]")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
# bytes that are searched for line ends at once
_BLOCK = 1 << 20


class CandidateRows(Sequence[ScoredCandidate]):
    """The candidates of a file, of which only the offsets are kept in memory: 8 bytes each, once one is looked up.

    Iterating reads the file once from start to end; a candidate is another object each time that it is read.

    Args:
        file: as `write_rows` wrote it; must not change.
        count: number of candidates; counted unless given.
    """

    def __init__(self, file: Path, count: int | None = None) -> None:
        self.file, self._count = file, count
        self._descriptor: int | None = None

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        return line_offsets(self.file)

    def __len__(self) -> int:
        return len(self._offsets) - 1 if self._count is None else self._count

    @overload
    def __getitem__(self, index: int) -> ScoredCandidate: ...

    @overload
    def __getitem__(self, index: slice) -> list[ScoredCandidate]: ...

    def __getitem__(self, index: int | slice) -> ScoredCandidate | list[ScoredCandidate]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        start, stop = int(self._offsets[position]), int(self._offsets[position + 1])
        if self._descriptor is None:
            self._descriptor = os.open(self.file, os.O_RDONLY)
        # by offset, so that the processes of a loader may share the open file
        return ScoredCandidate.from_row(json.loads(os.pread(self._descriptor, stop - start, start)))

    def __iter__(self) -> Iterator[ScoredCandidate]:
        return map(ScoredCandidate.from_row, read_rows(self.file))

    def __eq__(self, other: object) -> bool:
        return same_items(self, other)

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_descriptor": None}

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            os.close(self._descriptor)  # type: ignore[arg-type]


class JoinedRows(Sequence[ScoredCandidate]):
    """Candidates, and others behind them.

    Args:
        first: come first.
        second: come behind those.
    """

    def __init__(self, first: Sequence[ScoredCandidate], second: Sequence[ScoredCandidate]) -> None:
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    @overload
    def __getitem__(self, index: int) -> ScoredCandidate: ...

    @overload
    def __getitem__(self, index: slice) -> list[ScoredCandidate]: ...

    def __getitem__(self, index: int | slice) -> ScoredCandidate | list[ScoredCandidate]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position, count = range(len(self))[index], len(self._first)
        return self._first[position] if position < count else self._second[position - count]

    def __iter__(self) -> Iterator[ScoredCandidate]:
        yield from self._first
        yield from self._second


def same_items(one: Sequence[Any], other: object) -> bool:
    """Whether another object is a sequence of equal items; neither is held in memory."""
    if not isinstance(other, Sequence) or len(one) != len(other):
        return False
    return all(mine == theirs for mine, theirs in zip(one, other, strict=True))


def line_offsets(file: Path) -> NDArray[np.int64]:
    """Where each line of a file begins, and the end of the last, `[N + 1]`.

    An unfinished last line counts, an empty one at the end does not.
    """
    ends, position = array("q", [0]), 0
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            found = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + (position + 1)
            ends.frombytes(found.astype(np.int64).tobytes())
            position += len(block)
    if ends[-1] != position:
        ends.append(position)
    return np.frombuffer(ends, np.int64)


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file."""
    # a line ends with \n alone: a candidate may hold U+2028, which JSON does not escape
    with file.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            if line != "\n":
                yield json.loads(line)


def write_rows(file: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as they come to a file that is whole or absent; numbers that are not finite become null.

    Returns:
        Number of rows.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    count = 0
    with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as lines:
        for row in rows:
            try:
                line = _ENCODER.encode(row)
            except ValueError:
                line = _ENCODER.encode(jsonable(row))
            # file names that are not UTF-8 hold lone surrogates, which JSON can only hold as escapes
            lines.write(_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", line) + "\n")
            count += 1
    return count


def write_candidate_rows(file: Path, candidates: Iterable[ScoredCandidate]) -> CandidateRows:
    """Write candidates as they come, and return what was written.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    return CandidateRows(file, write_rows(file, (one.to_row() for one in candidates)))
