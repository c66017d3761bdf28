"""The judge against a real server: `transformers serve` with the embedded base, which knows nothing of marks."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_c3l.evaluation.judging.endpoint import ATTEMPTS, Endpoint, EndpointResponder
from lightning_c3l.evaluation.judging.prompted import PromptedJudge
from lightning_c3l.evaluation.judging.reviews import read_reviews, write_reviews
from tests.evaluation.judging.samples import pairs
from tests.helpers.commandline import ROOT, environment

pytestmark = pytest.mark.slow
BASE = str(ROOT / "lightning_c3l" / "scenes" / "base")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """What the server says."""
    return tmp_path / "serve.log"


@pytest.fixture
def url(log: Path) -> Iterator[str]:
    """A server on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", BASE, "--device", "cpu"]
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)],
            env=environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], health: str, log: Path) -> None:
    deadline = time.monotonic() + 200
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except OSError:
            time.sleep(0.2)


def test_the_whole_chain(url: str, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)

    def reviews() -> list[object]:
        replies = EndpointResponder(Endpoint(BASE, url, concurrency=2))
        made = PromptedJudge(replies, tmp_path / "replies").review(pairs(2), both_orders=True)
        write_reviews(tmp_path / "reviews.jsonl", made)
        return list(made)

    made = reviews()
    assert read_reviews(tmp_path / "reviews.jsonl") == made
    rows = [json.loads(line) for line in (tmp_path / "reviews.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    # it writes words of its own small world, and every one of these replies counts as unparsed
    assert all(row["content"].strip() for row in rows)
    assert {tuple(row["tuple"]) for row in rows} == {(-1, -1)}
    answered = log.read_text().count('"POST /v1/chat/completions HTTP/1.1" 200')
    assert answered == 4 * ATTEMPTS
    assert reviews() == made
    assert log.read_text().count("POST /v1/chat/completions") == answered
