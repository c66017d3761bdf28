"""Pictures and prompts that a model cannot take: named, and the rest goes on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lightning_c3l.lvlm.base import ConversationError, LVLMError, Sampling
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


def test_an_image_that_the_vision_tower_does_not_take(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """LFM2-VL's fails for very narrow images, which its processor accepts."""
    tower, (first, second) = lvlm.images.features, pictures(2)
    bad = lvlm.images.encode([second])[1]["pixel_values"]

    def narrow(model: Any, pixels: Any) -> Any:
        if any(torch.equal(one, bad[0]) for one in pixels["pixel_values"]):
            raise RuntimeError("shape '[1, 10, 2, -1]' is invalid")
        return tower(model, pixels)

    monkeypatch.setattr(lvlm.images, "features", narrow)
    with lvlm.cache_image_features():
        found = lvlm.unsupported_images([first, second])
    assert found[0] == ""
    assert "the vision tower does not accept an image (48x48 pixels): shape" in found[1]


def test_images_that_the_processor_does_not_take_together(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Processor:
        def __getattr__(self, name: str) -> Any:
            return getattr(lvlm.processor, name)

        def __call__(self, text: Any, images: Any, **options: Any) -> Any:
            if len(images[0]) > 1:
                raise RuntimeError("Sizes of tensors must match")
            return lvlm.processor(text=text, images=images, **options)

    monkeypatch.setattr(lvlm.images, "processor", Processor())
    with pytest.raises(ConversationError, match="does not accept these images in one conversation: Sizes of tensors"):
        lvlm.images.require_independent(pictures(2))


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
