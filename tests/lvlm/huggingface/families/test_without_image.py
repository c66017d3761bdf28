"""Questions without a picture, alone and beside some with one, against each prompt alone."""

import pytest
import torch
from PIL.Image import Image

from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.records import exchange
from tests.helpers.families.native import Native, messages
from tests.helpers.families.samples import CLOSE, GREEDY, PROMPTS
from tests.helpers.tiny import generate_texts


def given(images: list[Image], kind: str) -> list[Image | None]:
    return [image if kind == "mixed" and number % 2 else None for number, image in enumerate(images)]


@pytest.mark.parametrize("kind", ["blind", "mixed"])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_writing_is_that_of_the_text_only_prompt(
    lvlm: HuggingFaceLVLM, native: Native, images: list[Image], kind: str, batch_size: int | None
) -> None:
    asked = given(images, kind)
    found = generate_texts(lvlm, asked, PROMPTS, GREEDY, 0, batch_size=batch_size)
    for prompt, image, (text,) in zip(PROMPTS, asked, found, strict=True):
        assert text == native.write(messages([("user", prompt)], image), GREEDY.max_new_tokens)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["blind", "mixed"])
def test_losses_of_options_are_those_of_plain_forwards(
    lvlm: HuggingFaceLVLM, native: Native, images: list[Image], kind: str
) -> None:
    options, asked = ("red", "two of them, I think"), given(images, kind)
    chats = [[exchange(prompt, option) for option in options] for prompt in PROMPTS]
    found = lvlm.mean_nll([() if image is None else (image,) for image in asked], chats)
    for prompt, image, losses in zip(PROMPTS, asked, found, strict=True):
        expected = [-native.answer(prompt, option, image).logp().mean() for option in options]
        torch.testing.assert_close(torch.tensor(losses), torch.stack(expected), **CLOSE)
