"""A stand-in of a server that the tests of a module share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.vllm_server import Server, serve


@pytest.fixture(scope="module")
def running(tiny_checkpoint: Path) -> Iterator[Server]:
    with serve(tiny_checkpoint) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """As it is after a start, without faults."""
    running.restart()
    running.requests.clear()
    before = vars(running.faults).copy()
    yield running
    vars(running.faults).update(before)
    running.faults.answers.clear()
