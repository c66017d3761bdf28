"""Which process talks to the user, and whether information is wanted. Nothing here imports PyTorch."""

import os
import sys

QUIET = "C3L_QUIET"
# set by torchrun, Lightning and SLURM before the process group exists
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")


def is_quiet() -> bool:
    """Whether the user asked for warnings, errors and results only."""
    return os.environ.get(QUIET, "") not in ("", "0")


def is_rank_zero() -> bool:
    """Whether this is the process that talks; known before its process group is."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return bool(distributed.get_rank() == 0)
    return all(os.environ.get(name, "0") in ("", "0") for name in _RANKS)


def is_silent() -> bool:
    """Whether this process shows no information: under `--quiet`, and on ranks other than zero."""
    return is_quiet() or not is_rank_zero()


def inform(text: str) -> None:
    """Print a line of information."""
    if not is_silent():
        print(text, flush=True)
