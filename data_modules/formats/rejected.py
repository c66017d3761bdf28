"""The list of records that could not be used, beside what was written."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lightning_c3l.runs.atomic import atomic_path, followed


class RejectedRecords:
    """Writes one line of JSON a record.

    Attributes:
        count: lines so far.
        first: reason of the first, empty if there is none.
    """

    def __init__(self, file: IO[str]) -> None:
        self.count, self.first, self._file = 0, "", file

    def add(self, number: int, reason: str, **more: Any) -> None:
        """Add a record.

        Args:
            number: its number in the set, from 1.
            reason: why it is left out.
            more: further fields of the line.
        """
        self.count += 1
        self.first = self.first or reason
        self._file.write(json.dumps({"record": number, **more, "reason": reason}) + "\n")


@contextmanager
def rejected_list(path: Path) -> Iterator[RejectedRecords]:
    """Open a list; if it stays empty, there is no file in the end, not even that of an earlier run.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        rejected = RejectedRecords(file)
        yield rejected
    if not rejected.count:
        followed(path).unlink()
