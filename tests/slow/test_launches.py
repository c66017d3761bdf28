"""Several processes by every way to start them: one run folder, and nobody left over."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.distributed.test_launch import port
from tests.helpers.commandline import environment, run, tiny_config, write_images

FIT = [sys.executable, "-m", "lightning_c3l", "fit", "--config", "tiny.yaml"]
DDP = ["--trainer.strategy", "ddp", "--trainer.devices"]


@pytest.fixture
def work(tmp_path, tiny_checkpoint) -> Path:
    write_images(tmp_path / "images", 4)
    tiny_config(tmp_path, tiny_checkpoint)
    return tmp_path


def begin(words: list[str], work: Path, **own: str) -> subprocess.Popen[str]:
    variables = {**environment(), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", **own}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(words, cwd=work, env=variables, text=True, start_new_session=True, **pipes)


def finish(processes: list[subprocess.Popen[str]], status: int = 0) -> list[str]:
    try:
        printed = [process.communicate(timeout=300)[0] for process in processes]
        assert [process.returncode for process in processes] == [status] * len(processes), printed
        return printed
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None


def versions(work: Path) -> list[str]:
    return sorted(path.name for path in (work / "runs" / "tiny").iterdir())


def hosts(work: Path, *words: str) -> list[subprocess.Popen[str]]:
    """Two launches that know each other by an address alone."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port()}
    command = [*FIT, *DDP, "1", "--trainer.num_nodes", "2", *words]
    return [begin(command, work, **place, NODE_RANK=rank) for rank in ("0", "1")]


def tasks(work: Path, *words: str, **own: str) -> list[subprocess.Popen[str]]:
    """What `srun` starts, one node and two tasks."""
    names = {"NTASKS": "2", "NTASKS_PER_NODE": "2", "JOB_NAME": "train", "NODEID": "0", "NODELIST": "127.0.0.1"}
    slurm = {f"SLURM_{name}": value for name, value in names.items()} | {"MASTER_PORT": port(), **own}
    command = [*FIT, *DDP, "2", *words]
    return [begin(command, work, **slurm, SLURM_PROCID=rank, SLURM_LOCALID=rank) for rank in ("0", "1")]


def torchrun(work: Path, *words: str) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port()]
    return [begin([*command, *FIT[1:], *DDP, "2", *words], work)]


@pytest.mark.kill
@pytest.mark.parametrize("start", [torchrun, hosts, tasks])
def test_all_processes_take_one_folder(work, start):
    printed = finish(start(work))
    assert versions(work) == ["version_0"]
    assert (work / "runs" / "tiny" / "version_0" / "vlit.json").is_file()
    assert sum("report:" in one for one in printed) == 1


@pytest.mark.kill
def test_a_requeued_job_goes_on(work):
    tool = work / "bin" / "scontrol"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "$@" >> asked\n')
    tool.chmod(0o755)
    own = {"SLURM_JOB_ID": "4711", "PATH": f"{tool.parent}:{os.environ['PATH']}"}
    words = ["--data.passes", "300", "--run.checkpoint_every", "5", "--trainer.max_epochs", "1"]
    saved = work / "runs" / "tiny" / "version_0" / "checkpoints" / "last.ckpt"
    both = tasks(work, *words, **own)
    wait_for(saved, both)
    for process in both:
        process.send_signal(signal.SIGUSR1)
    finish(both, 143)
    assert (work / "asked").read_text() == "requeue 4711\n"
    assert 5 <= torch.load(saved, weights_only=True)["global_step"] < 600
    finish(tasks(work, *words, **own, SLURM_RESTART_COUNT="1"))
    assert torch.load(saved, weights_only=True)["global_step"] == 600
    assert versions(work) == ["version_0"]


@pytest.mark.kill
def test_the_processes_of_a_killed_run_go_and_free_its_folder(work):
    words = [*DDP, "2", "--data.passes", "300", "--run.checkpoint_every", "5", "--ckpt_path", "last"]
    saved = work / "runs" / "tiny" / "version_0" / "checkpoints" / "last.ckpt"
    first = begin([*FIT, *words], work)
    wait_for(saved, [first])
    first.kill()
    began = time.monotonic()
    # the other process holds the pipe for as long as it lives
    first.communicate(timeout=60)
    assert time.monotonic() - began < 20
    status, printed = run("fit", "--config", "tiny.yaml", *words, "--trainer.max_epochs", "1", cwd=work, timeout=400)
    assert status == 0, printed
    assert versions(work) == ["version_0"]


@pytest.mark.slow
def test_sigterm_stops_both_processes_at_the_same_step(work):
    words = [*DDP, "2", "--data.passes", "300", "--run.checkpoint_every", "5"]
    saved = work / "runs" / "tiny" / "version_0" / "checkpoints" / "last.ckpt"
    first = begin([*FIT, *words], work)
    wait_for(saved, [first])
    first.terminate()
    (printed,) = finish([first], 143)
    assert f"--ckpt_path {saved}" in printed
    assert "Traceback" not in printed


@pytest.mark.kill
def test_wandb_that_cannot_be_reached_is_left_for_later(work):
    words = ["--run.wandb", "some_project", "--trainer.max_epochs", "1"]
    own = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0123456789" * 4}
    (printed,) = finish([begin([*FIT, *words], work, **own)])
    assert "logged offline" in printed
    assert list((work / "runs" / "tiny" / "version_0" / "wandb").glob("offline-run-*"))
    assert json.loads((work / "runs" / "tiny" / "version_0" / "vlit.json").read_text())


def wait_for(path: Path, processes: list[subprocess.Popen[str]]) -> None:
    while not path.exists():
        assert all(process.poll() is None for process in processes), [p.stdout.read() for p in processes]
        time.sleep(0.01)
