"""The tests' tiny families, which are there in a checkout of the repository only."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def helpers(name: str) -> Any:
    """A module of `tests.helpers`.

    Raises:
        ValueError: if the tests are not there.
    """
    if find_spec("tests") is None or find_spec("tests.helpers") is None:
        raise ValueError("gpu-check takes its tiny models from the tests: run it in the root of the repository")
    return import_module(f"tests.helpers.{name}")


def enable_torchvision() -> None:
    """Let this process import the tests' torchvision where no other is installed, before transformers looks for it."""
    if find_spec("torchvision") is None:
        helpers("torchvision_shim").enable()


def quick_families() -> tuple[str, ...]:
    """Names of the families that `make test` runs."""
    families = helpers("families")
    return tuple(name for name, (_, tier) in families.TABLE.items() if tier is families.Tier.QUICK)
