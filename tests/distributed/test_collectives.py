"""What processes tell each other, on real gloo ranks."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from lightning_c3l.distributed import collectives
from tests.helpers.ranks import run_ranks


def test_one_process_is_alone() -> None:
    assert (collectives.rank(), collectives.world(), collectives.is_rank_zero()) == (0, 1, True)
    assert collectives.gather({"a": 1}) == [{"a": 1}]
    assert collectives.broadcast("x") == "x"
    assert collectives.on_rank_zero(lambda: 3) == 3
    with pytest.raises(ValueError, match="mine"):
        collectives.on_rank_zero(_refuse)
    collectives.barrier()


def test_what_nobody_wrote_is_missed_at_once_by_one_process(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    collectives.require_visible(tmp_path / "here")
    began = time.monotonic()
    with pytest.raises(OSError, match=r"nowhere: .*do all nodes share the run folder"):
        collectives.require_visible(tmp_path / "nowhere")
    assert time.monotonic() - began < 10


def _refuse() -> int:
    raise ValueError("mine")


def _exchange(rank: int, folder: str) -> None:
    assert (collectives.rank(), collectives.world(), collectives.is_rank_zero()) == (rank, 2, rank == 0)
    # of different size, and of no size at all
    for values in ([["é" * 100_000], []], [None, {"a": 1.5}]):
        assert collectives.gather(values[rank]) == values
        assert collectives.broadcast(values[rank]) == values[0]
    _train(rank)
    _let_the_first_work(rank, folder)
    _look_for_a_late_file(rank, folder)


def _train(rank: int) -> None:
    """Gradients go another way, and still do after exchanges."""
    gradient = torch.tensor([float(rank)])
    dist.all_reduce(gradient)
    assert gradient.item() == 1.0


def _let_the_first_work(rank: int, folder: str) -> None:
    def work() -> str:
        Path(folder, f"worked {rank}").touch()
        return "done"

    assert collectives.on_rank_zero(work) == "done"
    with pytest.raises(SystemExit if rank else ValueError, match="^2$" if rank else "^mine$"):
        collectives.on_rank_zero(_refuse)
    # those who caught it can go on together
    assert collectives.gather(rank) == [0, 1]


def _look_for_a_late_file(rank: int, folder: str) -> None:
    if rank == 0:
        time.sleep(1)
        Path(folder, "late").touch()
    collectives.require_visible(Path(folder, "late"))


def test_exchanges_of_two_processes(tmp_path: Path) -> None:
    run_ranks(_exchange, str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"worked 0", "late"}


def _wait_and_die(rank: int, folder: str) -> None:
    """The group of the gradients gives up after a second, the exchanges only when a process has died."""
    store = dist.FileStore(str(Path(folder, "store")), 2)
    dist.destroy_process_group()
    dist.init_process_group("gloo", store=store, timeout=timedelta(seconds=1), world_size=2, rank=rank)
    collectives.barrier()
    if rank == 1:
        time.sleep(4)
        Path(folder, "came late").touch()
    collectives.barrier()
    assert Path(folder, "came late").exists()
    if rank == 1:
        time.sleep(3)
        os._exit(0)  # as a killed process: without a word
    with pytest.raises(RuntimeError):
        dist.barrier()
    began = time.monotonic()
    with pytest.raises(RuntimeError):
        collectives.barrier()
    assert time.monotonic() - began < 60
    Path(folder, "noticed").touch()


def test_who_waits_is_patient_but_not_for_the_dead(tmp_path: Path) -> None:
    run_ranks(_wait_and_die, str(tmp_path), fresh=True)
    assert (tmp_path / "noticed").exists()
