"""How often a picture runs through the vision tower."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.tiny import generate_texts, load_tiny, pictures, plain

GREEDY = Sampling(samples=1, max_new_tokens=4, temperature=0.0)


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


@contextmanager
def tower(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Number of images of each pass through the vision tower."""
    seen, model = list[int](), lvlm.model
    features = model.get_image_features

    def watched(pixel_values: Tensor, **options: Any) -> Any:
        seen.append(len(pixel_values))
        return features(pixel_values=pixel_values, **options)

    with monkeypatch.context() as patch:
        patch.setattr(model, "get_image_features", watched)
        yield seen


def work(lvlm: HuggingFaceLVLM, images: list[Image]) -> None:
    """Write about two pictures and score with both, each several times."""
    one, other = images
    generate_texts(lvlm, [one, other, one], ["Where?"] * 3, GREEDY, 0, batch_size=1)
    score_pairs(lvlm, [other, one], [[("Where?", "here")]] * 2, [one, other])


def test_a_remembered_image_runs_through_the_tower_once(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(2)
    with tower(lvlm, monkeypatch) as seen:
        with lvlm.cache_image_features():
            work(lvlm, images)
            with lvlm.reference(), lvlm.cache_image_features():
                work(lvlm, images)
        assert sum(seen) == 2
        # three prompts one by one, two images to score, and their two partners
        work(lvlm, images)
        assert sum(seen) == 2 + 7
        generate_texts(lvlm, [images[0]] * 3, ["Where?"] * 3, GREEDY, 0)
        assert sum(seen) == 2 + 7 + 1


@pytest.mark.parametrize("lora", [None, LoRA(rank=2, vision=True)], ids=["full", "vision"])
def test_a_tower_that_is_trained_is_not_remembered(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, lora: LoRA | None
) -> None:
    """What it said before a step of training is not what it says after."""
    lvlm, (image, other) = load_tiny(tiny_checkpoint, lora), pictures(2)
    with lvlm.cache_image_features(), tower(lvlm, monkeypatch) as seen:
        work(lvlm, [image, other])
        assert sum(seen) == 7
        before = score_pairs(lvlm, [image], [[("Where?", "here")]]).logp_image
        with torch.no_grad():
            for name, parameter in lvlm.network.named_parameters():
                if parameter.requires_grad and "vision_tower" in name:
                    parameter.mul_(3.0)
        after = score_pairs(lvlm, [image], [[("Where?", "here")]])
    assert float((after.logp_image - before).abs().max()) > 1e-3
    expected = plain(lvlm, "Where?", "here", image).logp().detach()
    torch.testing.assert_close(after.logp_image[after.mask], expected, atol=1e-4, rtol=1e-4)
