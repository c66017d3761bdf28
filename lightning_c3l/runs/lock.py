"""The lock of a run folder: one run at a time uses it."""

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

LOCK = ".lock"
# seconds: the processes of a killed run take a moment to end
_PATIENCE = 10.0
# how a run ended
End = Literal["finished", "interrupted", "failed"]
# file descriptors whose locks this process holds; the kernel releases them when it ends, however it ends
_held: list[int] = []
# descriptions that this process has written, by their file
_described: dict[int, dict[str, Any]] = {}


def acquire(folder: Path, owner: dict[str, Any] | None, option: str = "--run.version") -> None:
    """Lock a run folder until this process ends.

    All processes of a run share the lock, so that any one of them that is still alive keeps a new run out.

    Args:
        folder: must exist.
        owner: description of this run for the lock file, from rank zero; None in the other processes.
        option: names another folder, for the message.

    Raises:
        ValueError: another run holds the lock.
    """
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if owner is not None:
            _lock(file, fcntl.LOCK_EX, folder, option)
            process = {"host": socket.gethostname(), "pid": os.getpid(), "since": _now()}
            # the end is noted when it is known: a process that is killed notes none
            _describe(file, {**process, **owner, "ended": None})
        _lock(file, fcntl.LOCK_SH, folder, option)
    except ValueError:
        _described.pop(file, None)
        os.close(file)
        raise
    _held.append(file)


def is_acquired() -> bool:
    """Whether this process holds the lock of a run folder."""
    return bool(_held)


def release() -> None:
    """Release all locks that this process holds."""
    _described.clear()
    while _held:
        os.close(_held.pop())


def note_end(how: End) -> None:
    """Note in the lock file how the run ended; only the process that has described the run does."""
    for file, description in _described.items():
        _describe(file, {**description, "ended": how, "until": _now()})


def _describe(file: int, description: dict[str, Any]) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(description).encode(), 0)
    _described[file] = description


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def is_held(folder: Path) -> bool:
    """Whether a run holds the lock of a folder; False if the file system has no locks."""
    try:
        file = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(file)
    return False


def owner(folder: Path) -> dict[str, Any]:
    """Description of the last run that locked a folder; empty if there was none."""
    try:
        found = json.loads((folder / LOCK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lock(file: int, operation: int, folder: Path, option: str) -> None:
    """Wait a few seconds for a lock; warn if the file system has none."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.flock(file, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                by = owner(folder)
                who = f"process {by.get('pid', '?')} on {by.get('host', '?')}, since {by.get('since', '?')}"
                raise ValueError(
                    f"{folder} is in use by another run ({who}): wait until it has ended, or choose another {option}"
                ) from None
            time.sleep(0.1)
        except OSError as error:
            from lightning.pytorch.utilities import rank_zero_warn  # late: who lists runs need not wait for torch

            return rank_zero_warn(f"{folder}: this file system has no locks ({error}); start one run there at a time")


def _close_in_child() -> None:
    """Close the files that a forked process inherits; they would keep the lock as long as it lives."""
    _described.clear()
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


os.register_at_fork(after_in_child=_close_in_child)
