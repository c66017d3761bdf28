"""What a command shows on the terminal: lines above progress bars, and each warning in a line of its own."""

import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from lightning_c3l.cli.errors import plain_reason
from lightning_c3l.distributed.messages import QUIET, talks_to_user
from lightning_c3l.report.progress import BOARD

_PROJECT = Path(__file__).resolve().parents[2]
_OURS = tuple(str(_PROJECT / name) + os.sep for name in ("lightning_c3l", "data_modules", "callbacks", "experiments"))
# warnings from one line of code that are shown; the others are counted
_MOST = 3
_OF_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)


class SharedStream:
    """A stream to a terminal that has progress bars: whole lines go above them.

    Args:
        below: the stream itself.
    """

    def __init__(self, below: TextIO) -> None:
        self.below = below
        self._rest = ""
        self._lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)

    def write(self, text: str) -> int:
        """Write, where a bar is shown only up to the end of a line; the rest waits for its end."""
        with self._lock:
            whole, newline, rest = (self._rest + text).rpartition("\n")
            if not BOARD.has_bars():
                self.below.write(self._rest + text)
                self._rest = ""
            else:
                self._rest = rest
                if newline:
                    BOARD.write_above(self.below, whole + newline)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what waits, unless a bar is in its place."""
        self.write("")
        self.below.flush()


class WarningLines:
    """Warnings as lines for users: no path, no line of code, nothing twice, and only a few from one place."""

    def __init__(self) -> None:
        self._counts = Counter[tuple[str, int]]()
        self._first = dict[tuple[str, int], str]()
        self._shown = set[str]()

    def format(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        """Format as `warnings.formatwarning` does.

        Other packages' notes to developers are left out, and what other ranks hear from them too.
        """
        package = _package(filename)
        if package and (issubclass(category, _OF_DEVELOPERS) or not talks_to_user()):
            return ""
        place, text = (filename, lineno), f"{package}: " * bool(package) + plain_reason(str(message))
        if text in self._shown:
            return ""
        self._counts[place] += 1
        if self._counts[place] > _MOST:
            return ""
        self._shown.add(text)
        self._first.setdefault(place, text)
        return f"warning: {text}\n"

    def tell_of_others(self) -> None:
        """Say how many warnings were not shown."""
        for place, count in self._counts.items():
            if count > _MOST:
                print(f"warning: {count - _MOST:,} more like: {self._first[place]}", file=sys.stderr)
        self.forget()

    def forget(self) -> None:
        """Begin again: nothing has been shown."""
        self._counts.clear()
        self._first.clear()
        self._shown.clear()


def _package(filename: str) -> str:
    """Name of the package that a warning is from; empty where it is this project or a user's own file."""
    parts = Path(filename).parts
    if filename.startswith(_OURS) or "site-packages" not in parts:
        return ""
    return Path(parts[len(parts) - parts[::-1].index("site-packages")]).stem


WARNINGS = WarningLines()


def show_warnings_in_lines() -> None:
    """From now on; packages that have a way of their own must have been imported before."""
    if not os.environ.get("C3L_DEBUG"):
        warnings.formatwarning = WARNINGS.format


@contextmanager
def readable_output(quiet: bool) -> Iterator[None]:
    """Around a command.

    Args:
        quiet: leaves out progress and information; processes that the command starts inherit it.
    """
    before = sys.stdout, sys.stderr, warnings.formatwarning, os.environ.get(QUIET)
    if quiet:
        os.environ[QUIET] = "1"
    # what PyTorch's C++ says on each rank is for its developers; errors are shown, and all that comes through Python
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if sys.stdout.isatty():
        sys.stdout = SharedStream(sys.stdout)
    if sys.stderr.isatty():
        sys.stderr = SharedStream(sys.stderr)
    # another command of this process may have left some
    WARNINGS.forget()
    show_warnings_in_lines()
    try:
        yield
    finally:
        BOARD.close_all()
        WARNINGS.tell_of_others()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, SharedStream):
                stream.flush()
        sys.stdout, sys.stderr, warnings.formatwarning, told = before
        if told is None:
            os.environ.pop(QUIET, None)
        else:
            os.environ[QUIET] = told
