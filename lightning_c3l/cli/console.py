"""The console script `c3l`."""

import os
import sys
from typing import NoReturn

from lightning_c3l.distributed.program import SCRIPT, STARTED_AS


def main() -> NoReturn:
    """Become `python -m lightning_c3l` with the same words.

    The current folder is importable then, and processes that run the command again (ranks of Lightning, trials, agents
    of W&B) find the module that it is an ordinary start of.
    """
    os.environ[STARTED_AS] = SCRIPT
    os.execv(sys.executable, [sys.executable, "-m", "lightning_c3l", *sys.argv[1:]])
