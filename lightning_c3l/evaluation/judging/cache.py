"""Replies of judges on disk: no reply that was paid for is requested again."""

import json
from pathlib import Path

from lightning_c3l.evaluation.judging.base import Order
from lightning_c3l.runs.digests import sha256_digest
from lightning_c3l.runs.row_jobs import RowJob

# raise it when replies come to depend on more than judge, order and prompt
_VERSION = 1


def key(judge: str, order: Order, prompt: str) -> str:
    """Digest of what a reply depends on; the prompt holds question, both answers and the description."""
    said = json.dumps([_VERSION, judge, order, prompt])
    return sha256_digest(said)


class Replies:
    """Replies by their keys.

    Args:
        folder: where they are kept; None keeps them in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._texts: dict[str, str] = {}
        # other commands may append to the same folder now, each to a file of its own
        self._job = None if folder is None else RowJob(folder)
        if self._job is not None:
            self._texts = {row["key"]: row["reply"] for row in self._job.files.unordered()}
            self._job.open()

    def get(self, key: str) -> str | None:
        """The reply of this key, None if there is none yet."""
        return self._texts.get(key)

    def keep(self, key: str, judge: str, reply: str) -> None:
        """Add a reply; a killed process does not lose it.

        Raises:
            OSError: it cannot be written; names the file.
        """
        self._texts[key] = reply
        if self._job is not None:
            self._job.append([{"key": key, "judge": judge, "reply": reply}])

    def close(self) -> None:
        """Wait until all replies are on the disk."""
        if self._job is not None:
            self._job.close()
