"""Fixtures for every test."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers import torchvision_shim

# before anything imports transformers, which looks for torchvision once
torchvision_shim.enable()

# on a busy machine the first example of a property can take any time
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


@pytest.fixture(autouse=True)
def _search_path() -> Iterator[None]:
    """The command line adds the current folder to where modules are looked for, for as long as the process lives."""
    before = [*sys.path]
    yield
    sys.path[:] = before


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data files that are not part of the project; see its README."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("C3L_SHARED_DATA") or default)
    if folder.is_dir():
        return folder
    message = f"the shared test data is not at {folder}; set C3L_SHARED_DATA"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random tiny LLaVA whose logits depend on image and text; do not write into it."""
    from tests.helpers.tiny import build_tiny  # here, so that tests without a model need not wait for transformers

    return build_tiny(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="session")
def family_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a random tiny checkpoint of a family, by its name; do not write into it."""
    if (missing := torchvision_shim.missing()) is not None:
        pytest.fail(missing, pytrace=False)
    from tests.helpers.families import family

    folder = tmp_path_factory.mktemp("families")

    def build(name: str) -> Path:
        if not (folder / name).exists():
            family(name).build(folder / name)
        return folder / name

    return build


@pytest.fixture(scope="session")
def benchmark_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """`questions` and `images` of each benchmark's datamodule; one image of POPE is broken."""
    from tests.helpers.benchmark_files import write_benchmark  # imports transformers, which has to find torchvision

    return {
        name: write_benchmark(tmp_path_factory.mktemp(name), name, broken=[2] if name == "pope" else [])
        for name in ("pope", "seed", "mmbench", "llava_w")
    }
