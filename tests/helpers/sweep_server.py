"""A stand-in of W&B's API on loopback, as much of it as `wandb agent` asks for."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.helpers.wandb_server import query_name

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
        name = query_name(query)
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
