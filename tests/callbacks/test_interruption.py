"""Signals: in training at the end of an optimizer step, elsewhere at once."""

import csv
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning import Callback
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from callbacks import interruption
from callbacks.interruption import Interruption
from callbacks.metrics_file import MetricsFile
from lightning_c3l.runs.folder import LAST
from tests.callbacks.test_checkpointing import Toy, batches, trainer_of


@pytest.fixture(autouse=True)
def _handlers():
    """Of the tests' own process, which does not end where a run would."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


class Send(Callback):
    """Sends this process a signal from a hook, the second time that it is called."""

    def __init__(self, number: int, hook: str) -> None:
        self.calls = 0

        def send(*_, **__) -> None:
            self.calls += 1
            if self.calls == 2:
                os.kill(os.getpid(), number)

        setattr(self, hook, send)


def steps(folder: Path) -> int:
    return int(torch.load(folder / LAST, weights_only=True)["global_step"])


def test_sigterm_in_training_ends_the_step_saves_and_leaves_with_143(tmp_path, capfd):
    module = Toy()
    trainer = trainer_of(tmp_path, 50, Send(signal.SIGTERM, "on_before_backward"), accumulate_grad_batches=3)
    with pytest.raises(SIGTERMException) as left:
        trainer.fit(module, batches(20))
    assert left.value.code == 143
    # told in the second of three batches that make a step
    assert (steps(tmp_path), float(module.weight)) == (1, 1.0)
    printed = capfd.readouterr().out
    assert re.search(rf"^  python -m lightning_c3l fit --config a.yaml --ckpt_path {tmp_path / LAST}$", printed, re.M)


class Logging(Toy):
    """Logs the number of its step."""

    def training_step(self, batch, batch_idx):
        self.log("step_number", float(self.trainer.global_step))
        return super().training_step(batch, batch_idx)


class Recorder(DummyLogger):
    """Keeps what it is told, as W&B would."""

    def __init__(self) -> None:
        super().__init__()
        self.told = []

    def log_metrics(self, metrics, step) -> None:
        self.told.append((step, metrics["step_number"]))


def test_the_last_step_before_a_signal_is_in_every_log(tmp_path):
    trainer, recorder = trainer_of(tmp_path, 50, Send(signal.SIGTERM, "on_before_backward")), Recorder()
    trainer.loggers = [MetricsFile(tmp_path, name="", version="", flush_logs_every_n_steps=1), recorder]
    with pytest.raises(SIGTERMException):
        trainer.fit(Logging(), batches(20))
    # told in the second step, long before the 50th, which is the first that Lightning logs
    assert steps(tmp_path) == 2
    assert recorder.told == [(1, 1.0)]
    with (tmp_path / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["step"], row["step_number"]) == ("1", "1.0")


def test_ctrl_c_in_training_does_the_same(tmp_path, capfd):
    trainer = trainer_of(tmp_path, 50, Send(signal.SIGINT, "on_before_backward"), accumulate_grad_batches=3)
    with pytest.raises(SystemExit):
        trainer.fit(Toy(), batches(20))
    assert steps(tmp_path) == 1
    assert str(tmp_path / LAST) in capfd.readouterr().out


def test_between_epochs_it_leaves_at_once_and_writes_nothing(tmp_path):
    after = []

    class Round(Send):
        def on_train_epoch_start(self, trainer, pl_module) -> None:
            after.append(trainer.current_epoch)

    trainer = trainer_of(tmp_path, 50, Round(signal.SIGTERM, "on_train_epoch_end"), max_epochs=5)
    with pytest.raises(SIGTERMException):
        trainer.fit(Toy(), batches(2))
    assert after == [0, 1]
    # of the first epoch's end
    assert steps(tmp_path) == 2


def test_before_the_first_checkpoint_it_says_how_to_begin_again_in_the_same_folder(tmp_path, capfd):
    folder = tmp_path / "version_4"
    send = Send(signal.SIGTERM, "on_fit_start")
    send.calls = 1
    with pytest.raises(SIGTERMException):
        trainer_of(folder, 50, send, max_epochs=1).fit(Toy(), batches(2))
    printed = capfd.readouterr().out
    assert "  python -m lightning_c3l fit --config a.yaml --ckpt_path last --run.version 4\n" in printed


def test_a_run_that_ends_well_puts_the_handlers_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    seen = []

    class Look(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            seen.append(signal.getsignal(signal.SIGTERM))

        def on_fit_end(self, trainer, pl_module) -> None:
            seen.append(signal.getsignal(signal.SIGTERM))

    trainer_of(tmp_path, 50, Look(), max_epochs=1).fit(Toy(), batches(1))
    # after Lightning's own have gone too: the data set is written then
    assert [getattr(handler, "__func__", None) for handler in seen] == [Interruption._on_signal] * 2
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_slurm_is_asked_to_start_the_job_again(tmp_path, monkeypatch, capfd):
    tool = tmp_path / "bin" / "scontrol"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    for name, value in {"NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0", "JOB_ID": "4711"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    trainer = trainer_of(tmp_path, 50, Send(signal.SIGUSR1, "on_before_backward"))
    assert isinstance(trainer._accelerator_connector.cluster_environment, SLURMEnvironment)
    with pytest.raises(SIGTERMException) as left:
        trainer.fit(Toy(), batches(20))
    assert left.value.code == 143
    assert steps(tmp_path) == 2
    assert (tmp_path / "asked").read_text() == "requeue 4711\n"
    # Lightning's own way would have written another checkpoint
    assert not list(tmp_path.rglob("hpc_ckpt*"))


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("fit --ckpt_path=last --run.version 3 --a b", "fit --a b --ckpt_path last --run.version 4"),
        ("fit --run.version=3 --ckpt_path old.ckpt", "fit --ckpt_path last --run.version 4"),
        ("predict --ckpt_path some.ckpt", "predict --ckpt_path some.ckpt --run.version 4"),
    ],
)
def test_the_command_that_goes_on(tmp_path, command, wanted):
    interruption = Interruption(command.split())
    interruption._trainer = SimpleNamespace(default_root_dir=tmp_path / "version_4")
    assert interruption._command() == wanted.split()


WAITING = """
import os, signal, sys, time
from datetime import timedelta
from types import SimpleNamespace
import torch.distributed as dist
from callbacks import interruption
from callbacks.interruption import Interruption
from lightning_c3l.distributed import collectives
rank = int(sys.argv[1])
dist.init_process_group("gloo", f"tcp://127.0.0.1:{sys.argv[2]}", timedelta(seconds=300), world_size=2, rank=rank)
interruption = Interruption(["fit"])
place = SimpleNamespace(cluster_environment=None)
strategy = SimpleNamespace(launcher=None)
trainer = SimpleNamespace(_accelerator_connector=place, default_root_dir="version_4", strategy=strategy)
interruption.setup(trainer, None, "fit")
interruption._stepping = sys.argv[3] == "stepping"
collectives.barrier()
print("ready", flush=True)
if rank == 0 and sys.argv[3] == "caught":
    def caught_between(group):
        work = group.barrier()
        os.kill(os.getpid(), signal.SIGTERM)
        work.wait()
    dist.barrier = caught_between
if rank == 0:
    collectives.barrier()
time.sleep(120)
"""


# caught: the signal comes between the start of a wait and the moment when the process sleeps
@pytest.mark.parametrize("stage", ["round", "stepping", "caught"])
def test_a_process_that_waits_for_another_can_be_told_to_stop(stage, unused_port):
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", WAITING, str(rank), str(unused_port), stage],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        for process in both:
            assert process.stdout.readline() == "ready\n"
        waiting = both[0]
        if stage != "caught":
            waiting.send_signal(signal.SIGTERM)
        if stage == "stepping":
            # it may yet come to the end of its step: only who asks twice is obeyed
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(timeout=4)
            waiting.send_signal(signal.SIGTERM)
        printed, _ = waiting.communicate(timeout=60)
        assert waiting.returncode == 143
        assert ("--run.version 4" in printed) == (stage != "stepping")
    finally:
        for process in both:
            process.kill()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(("has_bars", "start"), [(True, "\r\x1b[J"), (False, "")])
def test_bars_on_a_terminal_make_room_for_what_a_signal_says(
    has_bars: bool, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = list[tuple[int, bytes]]()
    monkeypatch.setattr(interruption.BOARD, "has_bars", lambda: has_bars)
    monkeypatch.setattr(interruption.os, "isatty", lambda _: True)
    monkeypatch.setattr(interruption.os, "write", lambda *args: written.append(args))
    interruption._say("stopped")
    assert written == [(1, f"{start}stopped\n".encode())]
