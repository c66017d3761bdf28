"""How a process ends that was told to stop."""

import os
import signal
import sys
from typing import NoReturn

# exit status after SIGTERM
TERMINATED = 128 + signal.SIGTERM
# set by W&B's sweep agent for the trials that it starts
_SWEEP = "WANDB_SWEEP_ID"


def is_stopped_trial(status: int) -> bool:
    """Whether this process is a trial that W&B's sweep agent has stopped, as early termination does it.

    The agent takes every positive exit status for a failure, and ends itself after a few of them. A process that ends
    by a signal has a negative one there.

    Args:
        status: exit status of the process.
    """
    return status == TERMINATED and bool(os.environ.get(_SWEEP))


def end_by_sigterm() -> None:
    """End this process by SIGTERM itself instead of an exit status; in the main thread only."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def end_at_once(status: int) -> NoReturn:
    """End this process from any thread, without cleaning up; a stopped trial by a signal that no thread handles."""
    if is_stopped_trial(status):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(status)
