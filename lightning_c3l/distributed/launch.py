"""What the processes of a run agree on before any of them has a trainer, and how a process ends with its parent."""

import atexit
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from threading import Thread

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.lsf import LSFEnvironment
from lightning.fabric.plugins.environments.mpi import MPIEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.distributed import TCPStore  # type: ignore[attr-defined]

# nodes of one job may start minutes apart
_PATIENCE = timedelta(minutes=30)
# how long rank zero stays to tell of a refusal
_STAY = timedelta(minutes=5)
# the answer of rank zero begins with one of these
_DONE, _REFUSED = "done ", "refused "
# torch.distributed later shares the server of this store: it must live as long as the process
_server: list[TCPStore] = []


def environment() -> ClusterEnvironment:
    """The cluster environment that started this process, by Lightning's own rules and in its order."""
    for kind in (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment, MPIEnvironment):
        if kind.detect():
            try:
                return kind()
            except RuntimeError as error:
                # a job script that SLURM accepts and Lightning does not
                raise ValueError(str(error)) from error
    return LightningEnvironment()


def from_rank_zero(choose: Callable[[], str], nodes: int) -> str:
    """What rank zero of a run chooses, in all processes that were not started by Lightning itself.

    Args:
        choose: called in rank zero only.
        nodes: number of nodes, as the trainer is told.

    Returns:
        The value of `choose`.

    Raises:
        ValueError: rank zero raised an error, with its text in every process; or it cannot be reached.
    """
    cluster = environment()
    first = _is_first(cluster)
    if not _has_others(cluster, nodes):
        return choose()
    if isinstance(cluster, LightningEnvironment) and "MASTER_PORT" not in os.environ:
        raise ValueError("several nodes need MASTER_ADDR and MASTER_PORT in the environment of each, the same in all")
    store = _store(cluster.main_address, cluster.main_port, first)
    # one key for each start: torchrun's store outlives a start that failed
    run, start = os.environ.get("TORCHELASTIC_RUN_ID"), os.environ.get("TORCHELASTIC_RESTART_COUNT")
    key = f"c3l/{run}/{start}"
    if not first:
        return _answer(store, key)
    try:
        chosen = choose()
    except (ValueError, OSError) as error:
        store.set(key, f"{_REFUSED}{error}")
        if store in _server:
            atexit.register(_wait_for_readers, store, key, _others(cluster, nodes))
        raise
    store.set(key, f"{_DONE}{chosen}")
    return chosen


def end_with(parent: int) -> None:
    """End this process when its parent ends: nothing would wait for it, and it would continue to write files."""
    if sys.platform == "linux":
        # the kernel does it, however busy this process is; "1" is PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
    else:

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(0.5)
            os._exit(1)

        Thread(target=watch, name="parent-watch", daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def agent() -> int | None:
    """Process id of torchrun where it started this process."""
    return os.getppid() if TorchElasticEnvironment.detect() else None


def _is_first(cluster: ClusterEnvironment) -> bool:
    if isinstance(cluster, LightningEnvironment):
        # its global rank is unknown before the trainer sets it
        return cluster.node_rank() == 0 and cluster.local_rank() == 0
    return cluster.global_rank() == 0


def _has_others(cluster: ClusterEnvironment, nodes: int) -> bool:
    """Whether something other than Lightning starts further processes of this run."""
    if isinstance(cluster, LightningEnvironment):
        by_hand = cluster.creates_processes_externally and "MASTER_PORT" in os.environ
        return nodes > 1 or by_hand or not _is_first(cluster)
    return cluster.world_size() > 1


def _store(address: str, port: int, first: bool) -> TCPStore:
    """The store at this address; rank zero opens it, unless torchrun has one there already."""
    serve = first and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    try:
        store = TCPStore(address, port, is_master=serve, timeout=_PATIENCE, wait_for_workers=False, multi_tenant=serve)
    except RuntimeError as error:
        problem = "cannot be opened" if serve else "cannot be reached"
        raise ValueError(f"the rendezvous address {address}:{port} of the run {problem}: {error}") from error
    if serve:
        _server.append(store)
    return store


def _others(cluster: ClusterEnvironment, nodes: int) -> int:
    """Number of processes that ask rank zero."""
    if isinstance(cluster, LightningEnvironment):
        # on each node Lightning starts the others from the first, after it has been answered
        return max(nodes, int(os.environ.get("WORLD_SIZE", "2"))) - 1
    return cluster.world_size() - 1


def _wait_for_readers(store: TCPStore, key: str, others: int) -> None:
    """Keep the store open until the others have read the answer: without it they would wait for it in vain."""
    began, told = time.monotonic(), False
    with suppress(KeyboardInterrupt):
        while store.add(_read(key), 0) < others and time.monotonic() - began < _STAY.total_seconds():
            if not told and time.monotonic() - began > 2:
                told = True
                print(f"telling the other processes of this run; Ctrl-C ends this, {_STAY} at most", file=sys.stderr)
            time.sleep(0.1)


def _read(key: str) -> str:
    """Key of the number of processes that have read an answer."""
    return f"{key}/read"


def _answer(store: TCPStore, key: str) -> str:
    try:
        answer = str(store.get(key), "utf-8")
        store.add(_read(key), 1)
    except RuntimeError as error:
        raise ValueError(f"rank zero of this run did not send its choice: {error}") from error
    if answer.startswith(_REFUSED):
        raise ValueError(answer.removeprefix(_REFUSED))
    return answer.removeprefix(_DONE)
