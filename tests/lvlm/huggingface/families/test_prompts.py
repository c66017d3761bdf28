"""Token rows and image features against the family's processor and model."""

from typing import Any

import pytest
import torch
from PIL.Image import Image

from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.records import Turn
from tests.helpers.families.native import Native, messages
from tests.helpers.families.samples import ASKED, CHAT, CLOSED, SYSTEM


@pytest.mark.parametrize("chat", [ASKED, CHAT, SYSTEM, CLOSED], ids=["asked", "chat", "system", "closed"])
@pytest.mark.parametrize("seen", [True, False], ids=["image", "text"])
def test_tokens_are_those_of_the_processor(
    lvlm: HuggingFaceLVLM, native: Native, images: list[Image], chat: Any, seen: bool
) -> None:
    turns = tuple(Turn(role, text) for role, text in chat)
    for image in images[:3] if seen else [None]:
        tokens = None if image is None else lvlm.images.encode([image])[0][0]
        assert (
            list(lvlm.encoder.encode(turns, tokens).ids)
            == native.inputs(messages(chat, image))["input_ids"][0].tolist()
        )


@pytest.mark.parametrize("seen", [True, False], ids=["image", "text"])
def test_the_reference_is_the_familys_own_call(native: Native, images: list[Image], seen: bool) -> None:
    image = images[1] if seen else None
    own = native.processor.apply_chat_template(
        messages(ASKED, image), tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    inputs = native.inputs(messages(ASKED, image))
    assert set(inputs) == set(own) or image is None
    for key, value in inputs.items():
        torch.testing.assert_close(value, own[key])


@torch.no_grad()
def test_as_many_image_tokens_as_features(lvlm: HuggingFaceLVLM, native: Native, images: list[Image]) -> None:
    counts = list[int]()
    for image in images:
        inputs = native.inputs(messages(ASKED, image))
        count = int((inputs["input_ids"] == native.model.config.image_token_id).sum())
        (tokens,), pixels = lvlm.images.encode([image])
        assert tokens.count == count
        assert lvlm.images.features(lvlm.model, pixels).pooled.shape == (count, lvlm.hidden_size)
        counts.append(count)
    together, pixels = lvlm.images.encode(images)
    assert [tokens.count for tokens in together] == counts
    assert len(lvlm.images.features(lvlm.model, pixels)) == sum(counts)


def test_families_differ_in_what_images_cost(name: str, lvlm: HuggingFaceLVLM, images: list[Image]) -> None:
    """The sizes are chosen well: where a family cuts tiles or goes by pixels, they give different counts."""
    counts = {tokens.count for tokens in lvlm.images.encode(images)[0]}
    assert (len(counts) == 1) == (name in ("llava-1.5", "gemma-3"))
