"""Pictures and prompts that a model cannot take: named, and the rest goes on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lightning_c3l.lvlm.base import LVLMError, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from tests.helpers.tiny import generate_texts, load_tiny, pictures


@pytest.fixture
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


def narrow_fails(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that refuses extreme shapes, as Qwen2-VL's does."""
    processor = lvlm.processor

    def picky(*args: Any, images: Any, **options: Any) -> Any:
        if any(image.height > 100 * image.width for (image,) in images):
            raise ValueError("absolute aspect ratio must be smaller than 100")
        return processor(*args, images=images, **options)

    monkeypatch.setattr(lvlm.images, "processor", picky)


@pytest.mark.parametrize("remembered", [False, True])
def test_one_picture_that_the_processor_refuses(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, remembered: bool
) -> None:
    lvlm.images.encode(pictures(1))  # the token's text is read from the processor once
    narrow_fails(lvlm, monkeypatch)
    images = [*pictures(1), Image.new("RGB", (2, 300)), *pictures(1, first=5)]
    if remembered:
        with lvlm.cache_image_features():
            first, second, third = lvlm.unsupported_images(images)
    else:
        first, second, third = lvlm.unsupported_images(images)
    assert (first, third) == ("", "")
    assert "2x300 pixels" in second
    assert "aspect ratio" in second


def test_a_checkpoint_whose_parts_do_not_belong_together_is_no_matter_of_pictures(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leaving out every picture with a warning would hide it."""
    tower = lvlm.model.get_image_features

    def one_less(**pixels: Any) -> Any:
        out = tower(**pixels)
        out.pooler_output = [part[:-1] for part in out.pooler_output]
        return out

    monkeypatch.setattr(lvlm.model, "get_image_features", one_less)
    with (
        lvlm.cache_image_features(),
        pytest.raises(LVLMError, match="9 image tokens in the prompt for 8 image features"),
    ):
        lvlm.unsupported_images(pictures(1))


def test_memory_that_runs_out_in_the_processor_is_no_matter_of_pictures(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(lvlm.images, "processor", full)
    with pytest.raises(torch.OutOfMemoryError):
        lvlm.unsupported_images(pictures(1))


def test_a_picture_of_more_tokens_than_the_context(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lvlm.encoder, "context", 9)
    assert lvlm.unsupported_images(pictures(1)) == ["its 9 image tokens do not fit into the model's context of 9"]
    monkeypatch.setattr(lvlm.encoder, "context", None)
    assert lvlm.unsupported_images(pictures(1)) == [""]


def test_a_prompt_that_leaves_no_room_to_write(lvlm: HuggingFaceLVLM) -> None:
    """The tiny model reads 256 tokens."""
    with pytest.raises(LVLMError, match=r"max_new_tokens of 250 are longer than the model's context of 256"):
        generate_texts(lvlm, pictures(1), ["Where?"], Sampling(1, 250), 0)
    with pytest.raises(LVLMError, match=r"is longer than the model's context of 256: 'Where Where"):
        generate_texts(lvlm, pictures(1), ["Where " * 300], Sampling(1, 2), 0)
