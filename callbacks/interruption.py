"""Ctrl-C, SIGTERM and SLURM's signal before it ends a job: nothing is lost, and the run says how to go on."""

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import Any, NoReturn

from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from callbacks.order import Order
from lightning_c3l.distributed import collectives
from lightning_c3l.report.progress import BOARD
from lightning_c3l.runs.ending import end_at_once
from lightning_c3l.runs.folder import job, last_checkpoint

# a signal that comes twice within it was sent once, on two ways
_SAME = 1.0
# what waits for another process does not see a signal; it is given so long
_GRACE = 3.0


class Interruption(Callback):
    """Stops the run at the end of an optimizer step, or at once if no step is running.

    At once means while a round or the data set is made: every candidate is stored as soon as it is generated. A second
    signal ends the process on the spot.

    Args:
        command: the words of the command that may be interrupted.
    """

    order = Order.INTERRUPTION

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self._trainer: Trainer | None = None
        self._asked: int | None = None
        self._stepping = False
        self._noticed = Event()
        self._before = dict[int, Any]()
        self._requeue: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Install the handlers, before the first round."""
        self._trainer = trainer
        cluster = trainer._accelerator_connector.cluster_environment
        if isinstance(cluster, SLURMEnvironment) and cluster.auto_requeue and cluster.requeue_signal is not None:
            self._requeue = int(cluster.requeue_signal)
        if current_thread() is main_thread():
            numbers = [signal.SIGINT, signal.SIGTERM, *([] if self._requeue is None else [self._requeue])]
            self._before = {int(number): signal.getsignal(number) for number in numbers}
            self._install()
            # a thread watches too: Python's handlers wait for calls into C, which may wait for another process
            ours, theirs = socket.socketpair()
            theirs.setblocking(False)
            signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            Thread(target=self._watch, args=(ours, theirs), name="signals", daemon=True).start()
            os.register_at_fork(after_in_child=self._in_fork)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handlers again: Lightning has replaced them by its own, which communicate with other ranks."""
        self._install()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handlers again, as in `on_train_start`."""
        self._install()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handlers again, as in `on_train_start`."""
        self._install()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on there are steps to finish before stopping."""
        self._stepping = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop now if asked to: the round that may follow can be interrupted at any time."""
        self._stepping = False
        if self._asked is not None:
            self.leave(self._asked)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove the handlers if the run failed by itself."""
        if self._asked is None:
            self._uninstall()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the former handlers."""
        self._uninstall()

    def agreed(self) -> int | None:
        """The signal that some rank got, if any; every rank must call it, and all get the same."""
        got = [number for number in collectives.gather(self._asked) if number is not None]
        # one that wants the job to be started again is told from one that ends it
        return self._requeue if self._requeue in got else next(iter(got), None)

    def leave(self, number: int) -> NoReturn:
        """Print how to resume, and end the run."""
        self._asked, agreed, self._stepping = number, self._stepping, False
        self._say_farewell(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if not agreed:
            self._forward(number)
        # Lightning would end this process too, hard, when it sees that one of its children has ended
        self._children().clear()
        raise SIGTERMException(128 + signal.SIGTERM)

    def _install(self) -> None:
        for number in self._before:
            signal.signal(number, self._on_signal)

    def _uninstall(self) -> None:
        if self._before:
            signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _in_fork(self) -> None:
        """A loader's worker ends when its parent tells it to, not when somebody tells the run to stop."""
        handlers = dict.fromkeys(self._before, signal.SIG_DFL) | {signal.SIGINT: signal.SIG_IGN}
        if self._before:
            signal.set_wakeup_fd(-1)
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._stepping and collectives.is_waiting():
            # the listener ends the process
            return
        self._noticed.set()
        if self._asked is not None:
            # whether it was sent twice is told by the listener, which works while this thread waits
            return
        self._asked = number
        if not self._stepping:
            self.leave(number)
        if collectives.is_rank_zero():
            _say("stopping at the end of this step; once more to stop at once")

    def _watch(self, ours: socket.socket, theirs: socket.socket) -> None:
        """End the process when it does not react, or when it is told again.

        Args:
            ours: gives the number of each signal as a byte.
            theirs: its other end, which must stay open.
        """
        number, began = self._next(ours), time.monotonic()
        if not self._stepping and not self._noticed.wait(_GRACE):
            self._say_farewell(number)
            self._forward(number)
            end_at_once(128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM))
        while True:
            number = self._next(ours)
            if time.monotonic() - began > _SAME:
                end_at_once(128 + number)

    def _next(self, ours: socket.socket) -> int:
        while True:
            number = ours.recv(1)[0]
            if number in self._before:
                return number

    def _forward(self, number: int) -> None:
        for child in self._children():
            with suppress(OSError):
                child.send_signal(number)

    def _children(self) -> list[Any]:
        """Processes that Lightning started on this node."""
        launcher = None if self._trainer is None else self._trainer.strategy.launcher
        children: list[Any] = getattr(launcher, "procs", [])
        return children

    def _say_farewell(self, number: int) -> None:
        if not collectives.is_rank_zero():
            return
        if number == self._requeue:
            _say("stopped; SLURM starts this job again, and it goes on")
            _requeue()
        else:
            _say(f"stopped; to go on:\n  {shlex.join(self._command())}")

    def _command(self) -> list[str]:
        """The command that resumes the run."""
        folder = Path("." if self._trainer is None else self._trainer.default_root_dir)
        version = re.fullmatch(r"version_(\d+)", folder.name)
        where = ["--run.version", version[1]] if version else []
        if "fit" not in self.command:
            return [*_without(self.command, "--run.version"), *where]
        if (last := last_checkpoint(folder)) is not None:
            return [*_without(self.command, "--ckpt_path"), "--ckpt_path", str(last)]
        return [*_without(self.command, "--ckpt_path", "--run.version"), "--ckpt_path", "last", *where]


def _without(words: list[str], *options: str) -> list[str]:
    """The words of a command without some options and what follows each."""
    out, skip = list[str](), False
    for word in words:
        if skip or word in options:
            skip = word in options
            continue
        if not word.startswith(tuple(f"{option}=" for option in options)):
            out.append(word)
    return out


def _requeue() -> None:
    """Ask SLURM to start this job again, as Lightning does it."""
    name = job()
    if name is None or not re.fullmatch(r"[0-9_]+", name):
        return
    try:
        status = subprocess.call(["scontrol", "requeue", name])
    except OSError as error:
        status = error.errno or 1
    if status:
        rank_zero_warn(f"scontrol requeue {name} failed with status {status}: this job is not started again")


def _say(what: str) -> None:
    """Print without Python's buffers, which the interrupted thread may be using."""
    # bars begin where the cursor is, and are drawn again below
    erase = "\r\x1b[J" if BOARD.has_bars() and os.isatty(1) else ""
    os.write(1, f"{erase}{what}\n".encode())
