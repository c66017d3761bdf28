"""A run folder belongs to one run at a time."""

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

LOCK = ".lock"
# the processes of a killed run take a moment to go
_PATIENCE = 10.0
# open files whose locks this process holds; the kernel frees them when it ends, however it ends
_held: list[int] = []


def hold(folder: Path, owner: dict[str, Any] | None) -> None:
    """Lock a run folder until this process ends.

    All processes of a run hold the lock together, so that one that was left over keeps a new run out as well.

    Args:
        folder: must exist.
        owner: what others may know of this run, said by its first process; None in the others.

    Raises:
        ValueError: if another run holds it.
    """
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if owner is not None:
            _lock(file, fcntl.LOCK_EX, folder)
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps({**_who(), **owner}).encode(), 0)
        _lock(file, fcntl.LOCK_SH, folder)
    except ValueError:
        os.close(file)
        raise
    _held.append(file)


def holds() -> bool:
    """Whether this process holds a run folder."""
    return bool(_held)


def release() -> None:
    """Let go of all that this process holds."""
    while _held:
        os.close(_held.pop())


def is_held(folder: Path) -> bool:
    """Whether a run holds a folder; False where the file system has no locks."""
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
    """What the last run in a folder said of itself; nothing where there was none."""
    try:
        said = json.loads((folder / LOCK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _lock(file: int, how: int, folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ValueError(_refusal(folder)) from None
            time.sleep(0.1)
        except OSError as error:
            return rank_zero_warn(f"{folder}: this file system has no locks ({error}); start one run there at a time")


def _refusal(folder: Path) -> str:
    by = owner(folder)
    who = f"process {by.get('pid', '?')} on {by.get('host', '?')}, since {by.get('since', '?')}"
    return f"{folder} is in use by another run ({who}): wait until it has ended, or choose another --run.version"


def _who() -> dict[str, Any]:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": since}


def _forget() -> None:
    """Forked helpers inherit open files; a lock would last as long as the last of them."""
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


os.register_at_fork(after_in_child=_forget)
