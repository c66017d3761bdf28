"""The vLLM that `make test-vllm` installs, and servers of it on loopback."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from experiments.vllm_server.command import InstalledVLLM, inspect_vllm, python_of_vllm
from tests.helpers.commandline import ROOT
from tests.vllm.server import RealServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nothing here runs with the other tests."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.vllm)


@pytest.fixture(scope="session")
def vllm() -> InstalledVLLM:
    """The environment of VLLM_PYTHON, or else `.vllm/`."""
    python = python_of_vllm()
    python = python or (own if (own := ROOT / ".vllm" / "bin" / "python").is_file() else None)
    if python is None:
        pytest.fail("no vLLM: run `make test-vllm`, which installs it", pytrace=False)
    return inspect_vllm(python.absolute())


@pytest.fixture(scope="module")
def serve(vllm: InstalledVLLM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RealServer]]:
    """Starts a server of a checkpoint, which ends with the module."""
    folder = tmp_path_factory.mktemp("server")
    with ExitStack() as stack:
        yield lambda model: stack.enter_context(RealServer(vllm, model, folder))
