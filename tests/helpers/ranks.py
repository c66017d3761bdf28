"""Run a function on two real gloo ranks, for tests of what crosses processes."""

import os
import socket
import sys
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn


def run_ranks(work: Callable[[int, str], None], argument: str, ranks: int = 2) -> None:
    """Call `work(rank, argument)` in spawned processes with a gloo group; a failure there fails here.

    Args:
        work: a function of a test module's top level, for spawned processes import it by name.
        argument: passed on, as a rule a folder to leave results in.
        ranks: number of processes.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn(_on_rank, args=(work, argument, ranks, port), nprocs=ranks)  # type: ignore[no-untyped-call]


def _on_rank(rank: int, work: Callable[[int, str], None], argument: str, ranks: int, port: int) -> None:
    if sys.platform == "linux":
        # Else gloo looks up the host's own name, which containers often cannot resolve.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", timedelta(seconds=60), world_size=ranks, rank=rank)
    try:
        work(rank, argument)
    finally:
        dist.destroy_process_group()
