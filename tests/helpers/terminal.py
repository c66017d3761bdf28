"""A terminal for tests: a pseudo-terminal for a process, and what a screen shows after its output."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

from tests.helpers.commandline import ROOT, environment

_TOKEN = re.compile(r"\x1b\[(?P<count>\d*)(?P<move>[ABCDJK])|\x1b\[[\d;?]*[a-zA-Z]|(?P<text>.)", re.DOTALL)
_COLUMNS, _ROWS = 100, 50


class Screen:
    """Lines as a terminal shows them, with returns, cursor movements, and erasing to the end of line or screen.

    Lines that have scrolled out stay.
    """

    def __init__(self) -> None:
        self._lines = [""]
        self._row, self._column = 0, 0

    def feed(self, text: str) -> None:
        """Show a piece of output, in which the terminal has put a carriage return before each line feed."""
        for found in _TOKEN.finditer(text):
            if (character := found["text"]) is not None:
                self._put(character)
            elif (move := found["move"]) in ("J", "K"):
                self._lines[self._row] = self._lines[self._row][: self._column]
                if move == "J":
                    del self._lines[self._row + 1 :]
            elif move is not None:
                self._move(move, int(found["count"] or 1))

    def lines(self) -> list[str]:
        """All lines, without blanks at their ends and without empty lines at the end of the screen."""
        return "\n".join(line.rstrip() for line in self._lines).rstrip().split("\n")

    def _move(self, move: str, count: int) -> None:
        if move in "AB":
            self._row = max(0, self._row + (count if move == "B" else -count))
        else:
            self._column = max(0, self._column + (count if move == "C" else -count))
        self._lines += [""] * (self._row + 1 - len(self._lines))

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._move("B", 1)
        elif character >= " ":
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
            self._column += 1


def run_on_terminal(command: Sequence[str], cwd: Path, **variables: str) -> tuple[int, str]:
    """Exit status and output of a command that has a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    env = {**environment(), "PYTHONPATH": str(ROOT), "TERM": "xterm", **variables}
    env.pop("COLUMNS", None)
    process = subprocess.Popen([sys.executable, *command], cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    pieces = list[bytes]()
    try:
        while piece := os.read(ours, 1 << 16):
            pieces.append(piece)
    except OSError:  # Linux says so when the last process has closed it
        pass
    finally:
        os.close(ours)
        process.kill() if process.poll() is None and not pieces else None
    return process.wait(60), b"".join(pieces).decode()
