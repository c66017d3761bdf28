"""A user's working folder with the files of the tutorials."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.tutorials import write_file


@pytest.fixture(scope="module")
def working_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder, whose modules are forgotten afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("work")
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        patch.setattr(sys, "dont_write_bytecode", True)
        yield folder
        for name in [name for name, one in sys.modules.items() if _lies_in(one, folder)]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def written(working_folder: Path) -> Callable[[str], str]:
    """Writes the file of a tutorial into the current folder, and returns the name of its module."""
    return lambda tutorial: write_file(tutorial, working_folder)


def _lies_in(module: object, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).parent == folder
