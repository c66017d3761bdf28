"""A stand-in of W&B's API on loopback, as much of it as `wandb agent` asks for."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import yaml

AGENT = "agent-1"


@dataclass
class Sweep:
    """A sweep that hands out trials one after another, and what the agent told of them.

    Attributes:
        command: of the sweep's file.
        trials: values of the parameters of each trial.
        stops: whether to stop a running trial now, by its number.
        asked: names of the queries, in order.
        heartbeats: trials that run, one entry a heartbeat.
    """

    command: Sequence[str]
    trials: Sequence[dict[str, Any]]
    stops: Callable[[int], bool] = lambda number: False
    asked: list[str] = field(default_factory=list)
    heartbeats: list[list[str]] = field(default_factory=list)
    _given: int = 0

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data that a query gets."""
        name = query.split("(")[0].split("{")[0].split()[-1]
        self.asked.append(name)
        if name == "SweepWithRuns":
            config = yaml.safe_dump({"command": list(self.command)})
            sweep = {"id": "1", "name": variables["sweep"], "state": "RUNNING", "config": config, "runs": {"edges": []}}
            return {"project": {"sweep": sweep}}
        if name == "CreateAgent":
            return {"createAgent": {"agent": {"id": AGENT}}}
        if name == "Heartbeat":
            assert variables["id"] == AGENT
            commands = self._commands(list(json.loads(variables["runState"])))
            return {"agentHeartbeat": {"agent": {"id": AGENT}, "commands": json.dumps(commands)}}
        assert name == "Viewer", query
        return {"viewer": {"id": "1", "entity": "team", "username": "team", "flags": "{}", "teams": {"edges": []}}}

    def _commands(self, running: list[str]) -> list[dict[str, Any]]:
        self.heartbeats.append(running)
        if running:
            return [{"type": "stop", "run_id": run} for run in running if self.stops(int(run.removeprefix("trial")))]
        if self._given == len(self.trials):
            return [{"type": "exit"}]
        values = {name: {"value": value} for name, value in self.trials[self._given].items()}
        self._given += 1
        return [{"type": "run", "run_id": f"trial{self._given - 1}", "program": "", "args": values}]


@contextmanager
def serve(sweep: Sweep) -> Iterator[str]:
    """Serve it; yields the address for `WANDB_BASE_URL`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found: dict[str, Any] = {}
            if self.path == "/graphql":  # all else is about wandb itself
                asked = json.loads(body)
                found = {"data": sweep.answer(asked["query"], asked.get("variables") or {})}
            content = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
