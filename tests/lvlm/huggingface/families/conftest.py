"""Fixtures of the suite over all families: each test runs once a family."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL.Image import Image

from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from tests.helpers.families import Family
from tests.helpers.families import family as family_of
from tests.helpers.families.native import Native
from tests.helpers.families.samples import pictures
from tests.helpers.tiny import load_tiny

# families whose modules are all named and whose templates have a token that ends a turn
DETAILED = ("llava-1.5", "llava-next", "llava-onevision", "qwen2.5-vl", "smolvlm", "gemma-3", "internvl")


@pytest.fixture(scope="session", params=DETAILED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def family(name: str) -> Family:
    return family_of(name)


@pytest.fixture(scope="session")
def checkpoint(name: str, family_checkpoint: Callable[[str], Path]) -> Path:
    return family_checkpoint(name)


@pytest.fixture(scope="session")
def lvlm(checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(checkpoint)


@pytest.fixture(scope="session")
def native(family: Family, lvlm: HuggingFaceLVLM) -> Native:
    return Native(family, lvlm.processor, lvlm.model)


@pytest.fixture(scope="session")
def images() -> list[Image]:
    return pictures()
