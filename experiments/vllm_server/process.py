"""A vLLM server for the time of a test or a measurement: started, waited for and ended with all of its processes."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from experiments.vllm_server.command import InstalledVLLM, ServerSettings, server_command
from lightning_c3l.lvlm.errors import LVLMError

# seconds for its processes to end by themselves
_PATIENCE = 20
_POLL = 0.2


@dataclass(frozen=True)
class RunningServer:
    """A server that answers.

    Attributes:
        url: its address.
        session: id of the session that all of its processes are in.
        start_seconds: time from its start until it answered.
    """

    url: str
    session: int
    start_seconds: float


@contextmanager
def running_server(
    vllm: InstalledVLLM, settings: ServerSettings, log: Path, seconds: float = 300
) -> Iterator[RunningServer]:
    """Run a server within this context.

    Args:
        vllm: environment with vLLM.
        settings: how it is started; port 0 takes a free one.
        log: file to which its output is appended.
        seconds: longest time until it answers.

    Raises:
        LVLMError: if it ends or does not answer in time; names the log.
    """
    settings = replace(settings, port=settings.port or free_port())
    command = server_command(vllm, settings)
    start = time.perf_counter()
    with log.open("ab") as output:
        process = subprocess.Popen(
            command.words,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://{settings.host}:{settings.port}"
        _wait(process, url, seconds, log)
        yield RunningServer(url, process.pid, time.perf_counter() - start)
    finally:
        end_session(process)


def free_port() -> int:
    """A port of the loopback interface that nothing listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def session_processes(session: int) -> list[int]:
    """Ids of the processes of a session; its engine and workers are not children of ours."""
    found = list[int]()
    for entry in Path("/proc").iterdir():
        # a process may end meanwhile
        with suppress(OSError, ValueError, IndexError):
            # behind the name, which may hold blanks: state, parent, group, session
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                found.append(int(entry.name))
    return found


def end_session(process: "subprocess.Popen[bytes]") -> None:
    """End a server and its workers, which may outlive it."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    for number in session_processes(process.pid):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str, seconds: float, log: Path) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        if (status := process.poll()) is not None:
            raise LVLMError(f"the vLLM server ended with status {status} before it answered; see {log}")
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(_POLL)
    raise LVLMError(f"the vLLM server did not answer within {seconds:.0f} s; see {log}")
