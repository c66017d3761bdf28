"""Generation and scores of every family, through the public interface, against transformers on each row alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.records import exchange
from tests.helpers.families.measured import Measured
from tests.helpers.families.native import Native, messages

SAMPLING = Sampling(samples=1, max_new_tokens=6, temperature=0.0)
# (prompt, index of its image); images of different sizes, and prompts without one between them
ASKED = (
    ("Describe the picture.", 0),
    ("Where?", None),
    ("Write a question about it.", 1),
    ("Why so?", 2),
    ("How?", None),
)
PAIRS = (
    (("What color are the rings?", "two rings"), ("How many circles are there?", "there are three of them, I think")),
    (("Where are the crosses?", "top left"),),
    (("Which squares, then?", "below them. 🙂"),),
)


@torch.no_grad()
def test_greedy_texts(lvlm: HuggingFaceLVLM, native: Native, images: list[Image]) -> None:
    asked = [(prompt, None if index is None else images[index]) for prompt, index in ASKED]
    expected = [native.write(messages([("user", prompt)], image), SAMPLING.max_new_tokens) for prompt, image in asked]
    requests = [GenerationRequest(prompt, image) for prompt, image in asked]
    for batch_size in (None, 2):
        assert [text for (text,) in lvlm.generate(requests, SAMPLING, batch_size=batch_size)] == expected


@torch.no_grad()
def test_scores(lvlm: HuggingFaceLVLM, native: Native, images: list[Image], measured: Measured) -> None:
    chats = [[exchange(*pair) for pair in own] for own in PAIRS]
    tokens = lvlm.score([[image] for image in images[:3]], chats, [[image] for image in images[1:4]])
    assert tokens.logp_shuffled is not None
    flat = [(index, *pair) for index, own in enumerate(PAIRS) for pair in own]
    for row, (index, question, answer) in enumerate(flat):
        mask = tokens.mask[row]
        seen, blind, other = (native.answer(question, answer, one) for one in (images[index], None, images[index + 1]))
        assert not torch.allclose(seen.logp(), other.logp(), atol=1e-3)
        measured.close("score, image", tokens.logp_image[row][mask], seen.logp())
        measured.close("score, blind", tokens.logp_blind[row][mask], blind.logp())
        measured.close("score, shuffled", tokens.logp_shuffled[row][mask], other.logp())
        measured.close("score, KL", tokens.kl[row][mask], divergence(seen.logits_of(), blind.logits_of()))


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL divergence of each token's distribution, [T], from logits."""
    p, q = p.double().log_softmax(-1), q.double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).float()


@torch.no_grad()
@pytest.mark.parametrize("seen", [True, False], ids=["image", "blind"])
def test_losses_of_options(
    lvlm: HuggingFaceLVLM, native: Native, images: list[Image], measured: Measured, seen: bool
) -> None:
    options, shown = ("red rings", "two of them, I think"), images[1:3]
    chats = [[exchange("What are they?", option) for option in options] for _ in shown]
    found = lvlm.mean_nll([[image] if seen else [] for image in shown], chats)
    for losses, image in zip(found, shown, strict=True):
        alone = [native.answer("What are they?", option, image if seen else None) for option in options]
        expected = torch.stack([-one.logp().mean() for one in alone])
        measured.close(f"mean_nll, {'image' if seen else 'blind'}", torch.tensor(losses), expected)


def test_a_saved_adapter_scores_the_same(
    lvlm: HuggingFaceLVLM, load: Callable[..., HuggingFaceLVLM], adapter: Path, images: list[Image]
) -> None:
    again = load(adapter, lora=None)
    assert all(not parameter.requires_grad for parameter in again.network.parameters())
    one, other = ([[images[1]]], [[exchange("Where are they?", "top left")]]), lvlm
    assert torch.equal(again.score(*one).logp_image, other.score(*one).logp_image)
    with lvlm.reference():
        assert not torch.equal(again.score(*one).logp_image, lvlm.score(*one).logp_image)


def test_every_image_is_supported(lvlm: HuggingFaceLVLM, images: list[Image]) -> None:
    assert lvlm.unsupported_images(images) == [""] * len(images)


@torch.no_grad()
def test_an_answer_prefix_is_continued(lvlm: HuggingFaceLVLM, native: Native, images: list[Image]) -> None:
    prompt, begun = "Describe the picture.", "The rings are"
    requests = [GenerationRequest(prompt, images[1], answer_prefix=begun), GenerationRequest(prompt, images[2])]
    (found,), _ = lvlm.generate(requests, SAMPLING)
    assert found == native.goes_on(prompt, begun, images[1], SAMPLING.max_new_tokens)
