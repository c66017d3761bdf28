"""The path that the self-check chooses for each family, and families that it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL.Image import Image

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.records import exchange
from tests.helpers.families import parameters
from tests.helpers.families.measured import Measured
from tests.helpers.families.paths import PATHS, REFUSED, TRAINING


def test_the_path_is_the_expected_one(name: str, lvlm: HuggingFaceLVLM, measured: Measured) -> None:
    measured.path, measured.path_reason = lvlm.inference_path.name, lvlm.inference_path.reason
    measured.training_path = lvlm.training_path.name
    assert measured.path == PATHS[name], measured.path_reason
    assert measured.training_path == TRAINING.get(name, PATHS[name]), lvlm.training_path.reason


@pytest.mark.parametrize("name", [one for one in parameters() if one.values[0] in REFUSED], indirect=True)
def test_it_is_refused_with_the_reason(
    name: str, load: Callable[..., HuggingFaceLVLM], checkpoint: Path, images: list[Image], measured: Measured
) -> None:
    with pytest.raises(LVLMError) as caught:
        load().score([[images[0]]], [[exchange("Where?", "here")]])
    message = str(caught.value)
    assert message.startswith(f"{checkpoint}: ")
    assert "\n" not in message
    assert REFUSED[name] in message
    measured.path_reason = message.removeprefix(f"{checkpoint}: ")
