"""What the processes of a run settle before any of them has a trainer, and what ties a process to its parent."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
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
# the first process' answer begins with one of these
_DONE, _REFUSED = "done ", "refused "
# torch.distributed later shares the server of this store: it must live as long as the process
_server: list[TCPStore] = []


def environment() -> ClusterEnvironment:
    """Where this process was started, by Lightning's own rules and in its order."""
    for kind in (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment, MPIEnvironment):
        if kind.detect():
            try:
                return kind()
            except RuntimeError as error:
                # a job script that SLURM takes and Lightning does not
                raise ValueError(str(error)) from error
    return LightningEnvironment()


def from_rank_zero(choose: Callable[[], str], nodes: int) -> str:
    """What the first process of a run chooses, in all that were not started by Lightning itself.

    Args:
        choose: called in the first process alone.
        nodes: how many there are, as the trainer is told.

    Raises:
        ValueError: if the first process refused, in each of them; or if it cannot be asked.
    """
    place = environment()
    first = _is_first(place)
    if not _has_others(place, nodes):
        return choose()
    if isinstance(place, LightningEnvironment) and "MASTER_PORT" not in os.environ:
        raise ValueError("several nodes need MASTER_ADDR and MASTER_PORT in the environment of each, the same in all")
    store, key = _store(place.main_address, place.main_port, first), _key()
    if not first:
        return _answer(store, key)
    try:
        chosen = choose()
    except (ValueError, OSError) as error:
        store.set(key, f"{_REFUSED}{error}")
        raise
    store.set(key, f"{_DONE}{chosen}")
    return chosen


def end_with(parent: int) -> None:
    """End this process when its parent does: nobody would wait for it, and it would go on writing."""
    if sys.platform == "linux":
        # the kernel does it, however busy this process is; "1" is PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
    else:
        Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def agent() -> int | None:
    """The process that must outlive this one where torchrun started it."""
    return os.getppid() if TorchElasticEnvironment.detect() else None


def _is_first(place: ClusterEnvironment) -> bool:
    if isinstance(place, LightningEnvironment):
        # it does not know its rank before the trainer tells it
        return place.node_rank() == 0 and place.local_rank() == 0
    return place.global_rank() == 0


def _has_others(place: ClusterEnvironment, nodes: int) -> bool:
    """Whether somebody else than Lightning starts other processes of this run."""
    if isinstance(place, LightningEnvironment):
        by_hand = place.creates_processes_externally and "MASTER_PORT" in os.environ
        return nodes > 1 or by_hand or not _is_first(place)
    return place.world_size() > 1


def _store(address: str, port: int, first: bool) -> TCPStore:
    """The store at this address; the first process opens it, unless torchrun has one there already."""
    serve = first and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    try:
        store = TCPStore(address, port, is_master=serve, timeout=_PATIENCE, wait_for_workers=False, multi_tenant=serve)
    except RuntimeError as error:
        what = "cannot be opened" if serve else "cannot be reached"
        raise ValueError(f"the address {address}:{port}, where the processes of a run meet, {what}: {error}") from error
    if serve:
        _server.append(store)
    return store


def _key() -> str:
    """One for each start: torchrun's store outlives a start that failed."""
    run, start = os.environ.get("TORCHELASTIC_RUN_ID"), os.environ.get("TORCHELASTIC_RESTART_COUNT")
    return f"c3l/{run}/{start}"


def _answer(store: TCPStore, key: str) -> str:
    try:
        said = str(store.get(key), "utf-8")
    except RuntimeError as error:
        raise ValueError(f"the first process of this run did not say where it goes: {error}") from error
    if said.startswith(_REFUSED):
        raise ValueError(said.removeprefix(_REFUSED))
    return said.removeprefix(_DONE)
