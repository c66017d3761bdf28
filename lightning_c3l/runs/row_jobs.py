"""The engine that rounds, `score`, `test` and `judge` share: rows made by any number of processes, resumable.

Each process appends finished rows to a file of its own and rank zero merges them. A manifest records what the rows
depend on: a later start either has the same settings and makes only what is missing, or is refused.
"""

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from lightning_c3l.distributed import collectives
from lightning_c3l.distributed.messages import inform
from lightning_c3l.runs import manifest
from lightning_c3l.runs.row_files import Done, Row, RowFiles


class RowJob:
    """Rows of one task.

    Args:
        folder: of the row files; created with the first row.
        made_with: what the rows depend on, by name (JSON values), or a function that every rank calls in `begin` for
            it; None if each row says it itself.
        restart: what to do to start over, for error messages, such as "--restart".
        manifest: file that holds `made_with`; `manifest.json` in the folder unless given.
        result: file that replaces the rows once they are merged; while it exists, the manifest stays binding.
        ignored: names in `made_with` that may differ between two starts.
    """

    def __init__(
        self,
        folder: Path,
        made_with: Row | Callable[[], Row] | None = None,
        restart: str = "",
        *,
        manifest: Path | None = None,
        result: Path | None = None,
        ignored: Collection[str] = (),
    ) -> None:
        self.files = RowFiles(folder)
        self.made_with, self.restart, self.ignored = made_with, restart, ignored
        self.manifest, self.result = manifest or folder / "manifest.json", result

    def begin(self) -> None:
        """Check the settings and get ready to append; every rank must call it.

        Raises:
            ValueError: on rank zero, as `check`.
        """
        if callable(self.made_with):
            self.made_with = self.made_with()  # on every rank: a digest of split weights is collective
        collectives.on_rank_zero(self.check)
        self.open()

    def check(self) -> None:
        """Write the manifest, or compare it with that of the last start; rank zero only.

        Without rows and result nothing was made with an older manifest, which is replaced.

        Raises:
            ValueError: if the last start had other settings; names the first that differs.
        """
        if not isinstance(self.made_with, dict):
            return
        if not (self.files.has_rows() or (self.result is not None and self.result.exists())):
            self.manifest.unlink(missing_ok=True)
        manifest.begin(self.manifest, self.made_with, self.restart, self.ignored)

    def open(self) -> None:
        """Get ready to append on this rank alone; nothing is compared."""
        self._writer = self.files.writer(f"rank-{collectives.rank():04d}")

    def begin_numbered(self, count: int, unit: str) -> Done:
        """`begin` for rows numbered 1 to `count`; every rank must call it.

        Args:
            count: number of all rows.
            unit: what a row is about, for the message on resuming.

        Returns:
            The numbers that have a row.
        """
        self.begin()
        done = self.files.done(count)
        if len(done):
            inform(f"resuming: {len(done)} of {count} {unit} are done already")
        return done

    @property
    def file(self) -> Path:
        """The file that this rank appends to; it may not exist yet."""
        return self._writer.path

    def append(self, rows: Sequence[Row]) -> None:
        """Hand finished rows over to the operating system: a killed process does not lose them.

        Raises:
            OSError: if they cannot be written; names the file.
        """
        self._writer.append(rows)

    def sync(self) -> None:
        """Wait until the appended rows are on the disk: a power cut does not lose them."""
        self._writer.sync()

    def close(self) -> None:
        """Sync, and append no more."""
        self._writer.close()

    def finish(self) -> None:
        """Close, and wait until all ranks have; every rank must call it."""
        self.close()
        collectives.barrier()

    def wait_until(self, is_complete: Callable[[], bool]) -> None:
        """After `finish`, wait until this rank sees the rows of all ranks: a network file system may lag behind.

        Args:
            is_complete: reads the rows, and returns whether all are there. With one process it is called once,
                whatever it returns: there is nobody to wait for.

        Raises:
            OSError: if rows of other ranks stay invisible.
        """
        for seconds in collectives.pauses():
            time.sleep(seconds)
            if is_complete():
                return
        if collectives.world() > 1:
            raise OSError(
                f"{self.files.folder}: rows of other processes are not visible; do all nodes share this folder?"
            )
