"""A stand-in in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.commandline import ROOT, environment

_PATIENCE = 240.0


class ServerProcess:
    """A server that can be killed and started again on the same port, with no adapter.

    Args:
        checkpoint: folder or name of the base.
        folder: for its log.
        name: that the base is served under.
        faults: fields of `Faults`, as JSON has them.
    """

    def __init__(self, checkpoint: str | Path, folder: Path, name: str = "base", **faults: Any) -> None:
        self.words = [str(checkpoint), name, json.dumps(faults)]
        self.log, self.port = folder / "server.log", 0
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def url(self) -> str:
        """Address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, on the port that it had before."""
        words = [sys.executable, "-m", "tests.helpers.vllm_server.main", *self.words, str(self.port)]
        with self.log.open("a") as errors:
            self.process = subprocess.Popen(
                words, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.strip().isdecimal(), self.log.read_text()[-2000:]
        self.port = int(line)

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(_PATIENCE)

    def hold(self) -> None:
        """Stop answering, and keep the connections."""
        os.kill(self.process.pid, signal.SIGSTOP)


@contextmanager
def subprocess_server(
    checkpoint: str | Path, folder: Path, name: str = "base", **faults: Any
) -> Iterator[ServerProcess]:
    """A server in a process of its own, killed when the block ends."""
    server = ServerProcess(checkpoint, folder, name, **faults)
    try:
        yield server
    finally:
        server.kill()
