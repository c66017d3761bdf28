"""`python -m lightning_c3l`."""

import atexit
import sys

from lightning_c3l.cli.main import main
from lightning_c3l.runs.ending import end_by_sigterm, is_stopped_trial


def _end_as_stopped() -> None:
    if is_stopped_trial(status):
        end_by_sigterm()


if __name__ == "__main__":
    status = 0
    # registered first, it runs last: what W&B and others do at the end is done before
    atexit.register(_end_as_stopped)
    # a line of its own: W&B replaces `sys.exit` while `main` runs, to see the status
    status = main()
    sys.exit(status)
