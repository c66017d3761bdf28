"""The tiny checkpoints by transformers alone: each loads, runs, and its logits depend on text and image."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from tests.helpers.families import family, parameters
from tests.helpers.families.native import Native, messages
from tests.helpers.families.samples import pictures


@pytest.fixture(scope="module", params=parameters())
def native(request: pytest.FixtureRequest, family_checkpoint: Callable[[str], Path]) -> Native:
    return Native.load(family(request.param), family_checkpoint(request.param))


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return pictures()


@torch.no_grad()
def first_logits(native: Native, inputs: dict[str, Tensor]) -> Tensor:
    """Logits [V] of the first token of an answer."""
    begun = {}
    if native.model.config.is_encoder_decoder:
        begun["decoder_input_ids"] = torch.tensor([[native.model.generation_config.decoder_start_token_id]])
    return native.model(**inputs, **begun).logits[0, -1]  # type: ignore[no-any-return]


def test_logits_depend_on_image_and_text(native: Native, images: list[Image]) -> None:
    question = "Where are they?"
    asked: list[tuple[str, Image | None]] = [(question, images[0]), (question, images[3]), ("Why are they?", images[0])]
    asked += [] if native.family.needs_image else [(question, None)]
    last = [first_logits(native, native.inputs(messages([("user", words)], image))) for words, image in asked]
    assert all(torch.isfinite(logits).all() for logits in last)
    for other in last[1:]:
        assert float((last[0] - other).abs().max()) > 0.01


def test_the_model_generates(native: Native, images: list[Image]) -> None:
    inputs = native.inputs(messages([("user", "Describe the picture.")], images[1]))
    out = native.model.generate(**inputs, do_sample=False, min_new_tokens=3, max_new_tokens=3)
    begun = 1 if native.model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    assert out.shape[1] == begun + 3
