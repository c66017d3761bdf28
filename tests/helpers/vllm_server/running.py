"""A stand-in that runs in a thread of this process."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from lightning_c3l.lvlm.huggingface.loading import Precision
from tests.helpers.vllm_server.app import Routes
from tests.helpers.vllm_server.engine import ServedWeights
from tests.helpers.vllm_server.faults import Faults
from tests.helpers.vllm_server.state import Request, ServerState

_PATIENCE = 60.0


class Server:
    """A running stand-in.

    Args:
        state: what it knows.
        port: to listen on; a free one by default.
    """

    def __init__(self, state: ServerState, port: int = 0) -> None:
        self.state = state
        # holds the port while nobody listens: connections are refused, and no other program gets it
        self._holder = _socket(port)
        self.port = int(self._holder.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.app = Routes(state, self._drop_connections, self._end).app()
        self._start()

    @property
    def faults(self) -> Faults:
        """What it does wrong; may be changed while it runs."""
        return self.state.faults

    @property
    def name(self) -> str:
        """Model name of the base."""
        return self.state.name

    @property
    def requests(self) -> list[Request]:
        """What it was asked so far, also before a restart."""
        return self.state.requests

    @property
    def adapters(self) -> dict[str, str]:
        """Names and folders of the adapters that are loaded now."""
        return self.state.adapters

    @property
    def is_sleeping(self) -> bool:
        """Whether it sleeps now."""
        return self.state.is_sleeping

    def asked(self, path: str) -> list[dict[str, Any]]:
        """Bodies of all requests to a route."""
        return [one.body for one in self.requests if one.path == path]

    def busy(self, model: str) -> AbstractContextManager[None]:
        """Within this context, somebody else's request for a model is in flight."""
        return self.state.busy(model)

    def restart(self) -> None:
        """All connections break, all adapters are forgotten."""
        self._call(self.state.forget)
        self._call(self._drop_connections)

    def die(self) -> None:
        """Connections break, and new ones are refused."""
        self._call(self._end)
        self._thread.join(_PATIENCE)

    def revive(self) -> None:
        """Listen again after `die`, as after a start; in faults, `dies_after` no longer holds."""
        self.die()
        self.faults.dies_after = None
        self.state.forget()
        self._start()

    def close(self) -> None:
        """End for good."""
        self.die()
        self._holder.close()

    def _start(self) -> None:
        self._listener = _socket(self.port)
        self._listener.listen(128)
        config = uvicorn.Config(self.app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._server = server = uvicorn.Server(config)
        listener = self._listener

        def work() -> None:
            asyncio.run(server.serve([listener]))

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _PATIENCE
        while not server.started:
            assert self._thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        self._loop = server.servers[0].get_loop()

    def _call(self, action: Any) -> None:
        """Do something in the server's thread; nothing if it is dead."""
        done = threading.Event()

        def act() -> None:
            action()
            done.set()

        if self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(act)
            except RuntimeError:  # it has just ended
                return
            while not done.wait(0.05) and self._thread.is_alive():
                pass

    def _drop_connections(self) -> None:
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()  # type: ignore[union-attr]

    def _end(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        for listening in self._server.servers:
            listening.close()
        self._drop_connections()


def _socket(port: int) -> socket.socket:
    """A socket that is bound and does not listen yet."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", port))
    return one


def start(
    checkpoint: str | Path, name: str = "base", dtype: Precision = "float32", port: int = 0, **faults: Any
) -> Server:
    """A server that runs until `close`; see `serve`."""
    state = ServerState(str(checkpoint), name, ServedWeights(str(checkpoint), dtype), Faults(**faults))
    return Server(state, port)


@contextmanager
def serve(
    checkpoint: Any, name: str = "base", dtype: Precision = "float32", port: int = 0, **faults: Any
) -> Iterator[Server]:
    """Serve on loopback until the block ends.

    Args:
        checkpoint: folder or name of the base, or an LVLM that was loaded from it.
        name: that the base is served under.
        dtype: precision of its weights.
        port: to listen on; a free one by default.
        faults: fields of `Faults`.
    """
    server = start(getattr(checkpoint, "path", checkpoint), name, dtype, port, **faults)
    try:
        yield server
    finally:
        server.close()
