"""Where the packages come from, and that every package has its layer."""

import configparser
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["lightning_c3l", "data_modules", "callbacks", "experiments"])
def test_packages_come_from_this_tree(name: str) -> None:
    """Three of the names are so generic that another installed package may have them."""
    file = import_module(name).__file__
    assert file is not None
    assert Path(file).parent == ROOT / name


def test_every_name_in_the_root_has_a_layer() -> None:
    names = {path.stem for path in (ROOT / "lightning_c3l").iterdir() if path.name not in ("__pycache__", "py.typed")}
    names -= {"__init__", "__main__"}
    assert len(names) <= 14
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    layers = re.split(r"[\s|:]+", config["importlinter:contract:layers"]["layers"].strip())
    assert {layer.removeprefix("lightning_c3l.") for layer in layers if layer.startswith("lightning_c3l.")} == names
    assert {layer for layer in layers if "." not in layer} == {"experiments", "callbacks", "data_modules"}


@pytest.mark.slow
@pytest.mark.xdist_group("of its own")
def test_the_group_of_a_test_reaches_the_scheduler(request: pytest.FixtureRequest) -> None:
    """Else `--dist loadgroup` scatters the tests that share a run, without a word."""
    has_groups = request.config.getoption("loadgroup", False)
    assert request.node.nodeid.endswith("@of its own") == has_groups
