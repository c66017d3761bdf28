"""Run a function on real gloo ranks, for tests of what crosses processes.

Importing torch and Lightning takes seconds, so the processes are started once, when they are first needed, and kept
for the session. Each call makes a process group of its own in them. After a failure they are replaced.
"""

import multiprocessing
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic

Work = Callable[[int, str], None]

_pool: list[tuple[BaseProcess, Connection]] = []


def run_ranks(work: Work, argument: str, ranks: int = 2, *, seconds: float = 240, fresh: bool = False) -> None:
    """Call `work(rank, argument)` in several processes that share a gloo group.

    Args:
        work: function at the top level of a test module; the processes import it by name.
        argument: passed on, usually a folder for results.
        ranks: number of processes.
        seconds: time limit; must stay below pytest's own.
        fresh: use new processes and end them afterwards, for work that kills its process or its process group.

    Raises:
        AssertionError: a rank failed (with its traceback), died, or took too long.
    """
    pool: list[tuple[BaseProcess, Connection]] = [] if fresh else _pool
    while len(pool) < ranks:
        pool.append(_start())
    members, store = pool[:ranks], tempfile.mkdtemp(prefix="ranks-")
    try:
        for rank, (_, connection) in enumerate(members):
            connection.send((work, argument, rank, ranks, str(Path(store, "store")), os.getcwd()))
        _await(dict(enumerate(members)), monotonic() + seconds, may_exit=fresh)
    except BaseException:
        # the others may wait for the one that failed
        _end(pool)
        raise
    finally:
        shutil.rmtree(store, ignore_errors=True)
    if fresh:
        _end(pool)


def _await(left: dict[int, tuple[BaseProcess, Connection]], deadline: float, may_exit: bool) -> None:
    """Wait until every rank has reported; the first failure is raised."""
    while left:
        ready = wait([connection for _, connection in left.values()], deadline - monotonic())
        if not ready:
            raise AssertionError(f"ranks {sorted(left)} did not finish in time")
        for rank, (process, connection) in list(left.items()):
            if connection not in ready:
                continue
            del left[rank]
            try:
                failure = connection.recv()
            except EOFError:
                process.join()
                failure = "" if may_exit and process.exitcode == 0 else f"ended with status {process.exitcode}"
            if failure:
                raise AssertionError(f"rank {rank}: {failure}")


def _start() -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    # daemons end with the session; where it is killed, the closed pipe ends them
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _end(pool: list[tuple[BaseProcess, Connection]]) -> None:
    for process, connection in pool:
        process.kill()
        process.join()
        connection.close()
    pool.clear()


def _serve(connection: Connection) -> None:
    """Do what is asked until the other end is closed; the answer is the traceback of a failure, or ''."""
    if sys.platform == "linux":
        # otherwise gloo looks up the host's own name, which containers often cannot resolve
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    environment = dict(os.environ)
    while True:
        try:
            # unpickling imports the test module
            work, argument, rank, ranks, store, folder = connection.recv()
        except EOFError:
            return
        except Exception:
            connection.send(traceback.format_exc())
            continue
        try:
            os.chdir(folder)
            _on_rank(work, argument, rank, ranks, store)
            connection.send("")
        except BaseException:
            connection.send(traceback.format_exc())
        os.environ.clear()
        os.environ.update(environment)


def _on_rank(work: Work, argument: str, rank: int, ranks: int, store: str) -> None:
    import torch  # here, since most sessions that import this module start no rank
    import torch.distributed as dist

    torch.set_num_threads(1)
    torch.manual_seed(0)
    dist.init_process_group("gloo", f"file://{store}", timedelta(seconds=60), world_size=ranks, rank=rank)
    try:
        work(rank, argument)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
