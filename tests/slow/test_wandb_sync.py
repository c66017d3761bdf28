"""Offline pieces of a resumed run become one run when they are uploaded, by the command that the run prints."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import wandb

from callbacks.wandb_run import wandb_logger
from lightning_c3l.runs.folder import RunConfig
from tests.helpers.wandb_server import query_name, serve

PROJECT = {"id": "1", "name": "c3l", "entity": {"id": "1", "name": "team"}}


@dataclass
class Server:
    """As much of W&B's server as `wandb sync` asks for, which keeps the history of one run."""

    address: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)

    def answer(self, query: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The data that a query gets."""
        name = query_name(query)
        if name == "RunResumeStatus":
            counts = {"historyLineCount": len(self.lines), "eventsLineCount": 0, "logLineCount": 0}
            tails = {"historyTail": json.dumps([json.dumps(one) for one in self.lines[-1:]]), "eventsTail": "[]"}
            known = {"id": "1", "name": asked["name"], "config": "{}", "summaryMetrics": "{}", "tags": []}
            bucket = {**known, **counts, **tails, "wandbConfig": '{"t": 1}'} if self.lines else None
            return {"model": {**PROJECT, "bucket": bucket}}
        if name == "UpsertBucket":
            self.runs.add(asked["name"])
            bucket = {"id": "1", "name": asked["name"], "displayName": "", "config": "{}", "project": PROJECT}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if name == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.address}/files/{name}"} for name in asked["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        return {}

    def stream(self, files: dict[str, Any]) -> None:
        """Lines of history at their offset, in place of what was there from there on."""
        if (history := files.get("wandb-history.jsonl")) is not None:
            self.lines[history["offset"] :] = [json.loads(line) for line in history["content"]]


@pytest.fixture
def server() -> Iterator[Server]:
    known = Server()
    with serve(known.answer, known.stream) as known.address:
        yield known


def _upload(command: str, server: Server, work: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    own = {"WANDB_BASE_URL": server.address, "WANDB_API_KEY": "0123456789" * 4, "PATH": path}
    subprocess.run(command, shell=True, cwd=work, env={**kept, **own}, check=True, timeout=120, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("between", [False, True], ids=["at once", "one by one"])
def test_pieces_of_a_resumed_run_are_uploaded_to_one(
    between: bool, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb.teardown()
    monkeypatch.chdir(tmp_path)
    (folder := tmp_path / "runs" / "c3l" / "version_0").mkdir(parents=True)
    for piece in range(2):
        # of a process that was killed at once
        (killed := folder / "wandb" / f"offline-run-2026010{piece}_000000-killed").mkdir(parents=True)
        (killed / "run-killed.wandb").write_bytes(b":W&B\xe1\xbe\x00")
        logger = wandb_logger(RunConfig(wandb_mode="offline"), folder, {"seed_everything": piece})
        for row in range(2):
            logger.log({"round": 2 * piece + row, "round/i2c_mean": 0.5})
        logger.finalize("success")
        assert logger.where is not None
        assert re.fullmatch(r"(WANDB_RESUME=allow )?wandb sync runs/c3l/version_0/wandb", logger.where)
        if between or piece == 1:
            _upload(logger.where, server, tmp_path)
    assert server.runs == {json.loads((folder / "wandb.json").read_text())["id"]}
    assert [line["round"] for line in server.lines] == [0, 1, 2, 3]
    steps = [line["_step"] for line in server.lines]
    assert steps == sorted(set(steps))
    wandb.teardown()


@pytest.mark.slow
def test_a_resumed_run_is_continued_online(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb.teardown()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_BASE_URL", server.address)
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    (folder := tmp_path / "runs" / "c3l" / "version_0").mkdir(parents=True)
    for piece in range(2):
        # as a process of its own begins
        wandb.teardown()
        logger = wandb_logger(RunConfig(), folder, {"seed_everything": 0})
        for row in range(2):
            logger.log({"round": 2 * piece + row, "round/i2c_mean": 0.5})
        kept = json.loads((folder / "wandb.json").read_text())
        assert logger.where == kept["url"] == f"{server.address}/team/c3l/runs/{kept['id']}"
        logger.finalize("success")
    assert server.runs == {kept["id"]}
    assert [(line["_step"], line["round"]) for line in server.lines] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    wandb.teardown()
