"""Which process talks to the user, and whether information is wanted. Nothing here imports PyTorch."""

import os
import sys
from typing import Any

QUIET = "C3L_QUIET"
# set by torchrun, Lightning and SLURM before the process group exists
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")


def is_quiet() -> bool:
    """Whether the user asked for warnings, errors and results only."""
    return os.environ.get(QUIET, "") not in ("", "0")


def talks_to_user() -> bool:
    """Whether this is the process that talks; known before its process group is."""
    if (distributed := _process_group()) is not None:
        return bool(distributed.get_rank() == 0)
    return all(os.environ.get(name, "0") in ("", "0") for name in _RANKS)


def processes() -> int:
    """Number of processes of the run; 1 before they know of each other."""
    distributed = _process_group()
    return 1 if distributed is None else int(distributed.get_world_size())


def _process_group() -> Any:
    """`torch.distributed`, once the processes know of each other."""
    found: Any = sys.modules.get("torch.distributed")
    return found if found is not None and found.is_available() and found.is_initialized() else None


def is_silent() -> bool:
    """Whether this process shows no information: under `--quiet`, and on ranks other than zero."""
    return is_quiet() or not talks_to_user()


def inform(text: str) -> None:
    """Print a line of information."""
    if not is_silent():
        print(text, flush=True)
