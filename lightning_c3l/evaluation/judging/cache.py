"""Replies of judges on disk: nothing that was paid for is asked again.

Runs that write at once each append to a file of their own; a line that was cut off does not count (see `parts`).
"""

import hashlib
import json
from pathlib import Path

from lightning_c3l.evaluation.judging.base import Order
from lightning_c3l.runs.row_files import PartFiles

# what replies depend on beside judge, order and prompt; to be raised when they are asked for in another way
_VERSION = 1


def key(judge: str, order: Order, prompt: str) -> str:
    """Name of a reply: the prompt holds question, both answers and the description."""
    said = json.dumps([_VERSION, judge, order, prompt])
    return hashlib.sha256(said.encode("ascii")).hexdigest()


class Replies:
    """Replies by their keys.

    Args:
        folder: where they are kept; None keeps them in memory alone.
    """

    def __init__(self, folder: Path | None) -> None:
        self._texts: dict[str, str] = {}
        self._writer = None
        if folder is not None:
            parts = PartFiles(folder)
            self._texts = {row["key"]: row["reply"] for row in parts.unordered()}
            self._writer = parts.writer("replies")

    def get(self, key: str) -> str | None:
        """A reply that is there."""
        return self._texts.get(key)

    def keep(self, key: str, judge: str, reply: str) -> None:
        """Put one in; a killed process does not take it along.

        Raises:
            OSError: it cannot be written; names the file.
        """
        self._texts[key] = reply
        if self._writer is not None:
            self._writer.append([{"key": key, "judge": judge, "reply": reply}])

    def close(self) -> None:
        """Wait until the disk has all of them."""
        if self._writer is not None:
            self._writer.close()
