"""Mean likelihood of what the assistant says, with and without a picture."""

import math
from pathlib import Path

import pytest
import torch
from PIL.Image import Image

from lightning_c3l.lvlm.base import ConversationError, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.records import Turn, exchange
from tests.helpers.tiny import generate_texts, load_tiny, pictures, plain

QUESTIONS = ["What color are the rings?", "Where are they?", "How many?"]
OPTIONS = ["red", "top left corner", "there are three of them", "no"]


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


def losses(lvlm: HuggingFaceLVLM, images: list[Image | None], questions: list[str]) -> torch.Tensor:
    chats = [[exchange(question, option) for option in OPTIONS] for question in questions]
    return torch.tensor(lvlm.mean_nll([() if one is None else (one,) for one in images], chats))


@torch.no_grad()
@pytest.mark.parametrize("picture", [True, False])
def test_a_tokens_mean_by_its_definition(lvlm: HuggingFaceLVLM, picture: bool) -> None:
    """The end of turn does not count, and every token of the option does."""
    images = [image if picture else None for image in pictures(3)]
    found = losses(lvlm, images, QUESTIONS)
    for row, question, image in zip(found, QUESTIONS, images, strict=True):
        expected = [-plain(lvlm, question, option, image).logp().mean() for option in OPTIONS]
        torch.testing.assert_close(row, torch.stack(expected), atol=1e-4, rtol=1e-4)
    assert float(found.std(0).min()) > 1e-3


@pytest.mark.parametrize("sizes", [[1, 1, 1], [2, 1], [1, 2]])
def test_neighbours_do_not_count(lvlm: HuggingFaceLVLM, sizes: list[int]) -> None:
    one, other, _ = pictures(3)
    images, together = [one, None, other], losses(lvlm, [one, None, other], QUESTIONS)
    parts, start = [], 0
    for size in sizes:
        parts.append(losses(lvlm, images[start : start + size], QUESTIONS[start : start + size]))
        start += size
    torch.testing.assert_close(torch.cat(parts), together, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_all_turns_of_a_conversation_count(lvlm: HuggingFaceLVLM) -> None:
    chat = (*exchange("Where?", "top left"), *exchange("How many?", "three"))
    ((found,),) = lvlm.mean_nll([pictures(1)], [[chat]])
    tokens = lvlm.score([pictures(1)], [[chat]])
    assert len(tokens.mask) == 2
    assert found == pytest.approx(-float(tokens.logp_image[tokens.mask].mean()), abs=1e-5)


def test_an_option_without_a_token_has_no_mean(lvlm: HuggingFaceLVLM) -> None:
    chats = [[exchange("Where?", ""), exchange("Where?", "left"), (Turn("user", "Where?"), Turn("assistant", "</s>"))]]
    (found,) = lvlm.mean_nll([pictures(1)], chats)
    assert [math.isnan(one) for one in found] == [True, False, True]


def test_a_prompt_that_leaves_no_room_for_the_answer_is_the_conversations_fault(lvlm: HuggingFaceLVLM) -> None:
    fits = Sampling(1, 2, 0.0)
    long = "ring " * 100
    generate_texts(lvlm, [None], [long], fits, 0)
    with pytest.raises(ConversationError, match=r"max_new_tokens of 200 are longer than the model's context of 256"):
        generate_texts(lvlm, [None], [long], Sampling(1, 200, 0.0), 0)
