"""Fixtures of the suite over all families: each test runs once a family."""

from pathlib import Path

import pytest
from PIL.Image import Image

from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from tests.helpers.families import FAMILIES, Family
from tests.helpers.families.reference import Reference
from tests.helpers.families.samples import pictures
from tests.helpers.tiny import load_tiny


@pytest.fixture(scope="session", params=list(FAMILIES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def family(name: str) -> Family:
    return FAMILIES[name]


@pytest.fixture(scope="session")
def checkpoint(name: str, family_checkpoints: Path) -> Path:
    return family_checkpoints / name


@pytest.fixture(scope="session")
def lvlm(checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(checkpoint)


@pytest.fixture(scope="session")
def reference(family: Family, lvlm: HuggingFaceLVLM) -> Reference:
    return Reference(family, lvlm.processor, lvlm.model)


@pytest.fixture(scope="session")
def images() -> list[Image]:
    return pictures()
