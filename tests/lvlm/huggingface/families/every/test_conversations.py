"""Conversations of several turns and of two images, against one plain forward of each."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from PIL.Image import Image

from lightning_c3l.lvlm.base import ConversationError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.records import Turn
from tests.helpers.families import Family
from tests.helpers.families.measured import Measured
from tests.helpers.families.native import Native

TURNS = (
    Turn("user", "What color are the rings?"),
    Turn("assistant", "two rings, word by word"),
    Turn("user", "Where are they, then?"),
    Turn("assistant", "Top left."),
)
TWO = (
    Turn("user", "Which of them is larger?", (0, 0)),
    Turn("assistant", "the second one"),
    Turn("user", "Why so?"),
    Turn("assistant", "there are circles"),
)
LATER = (
    Turn("user", "Where are the crosses?", (0,)),
    Turn("assistant", "top left"),
    Turn("user", "And in this one?", (0,)),
    Turn("assistant", "below them"),
)


def said(turns: Sequence[Turn], images: Sequence[Image]) -> list[dict[str, Any]]:
    """Messages of transformers; the images stand at the beginning of their turns, or of the first."""
    waiting, placed = iter(images), any(turn.images for turn in turns)
    out = list[dict[str, Any]]()
    for number, turn in enumerate(turns):
        count = (len(turn.images) if placed else len(images) * (number == 0)) if images else 0
        pictures = [{"type": "image", "image": next(waiting)} for _ in range(count)]
        out.append({"role": turn.role, "content": [*pictures, {"type": "text", "text": turn.text}]})
    return out


@torch.no_grad()
def check(
    lvlm: HuggingFaceLVLM,
    native: Native,
    measured: Measured,
    subject: str,
    contexts: list[list[Image]],
    chats: list[list[tuple[Turn, ...]]],
) -> None:
    """Compare the scores of every answer with those of plain forwards."""
    tokens = lvlm.score(contexts, chats)
    rows = iter(range(len(tokens.mask)))
    for own, same in zip(contexts, chats, strict=True):
        for turns in same:
            seen, blind = (native.forward(said(turns, images)) for images in (own, []))
            for number in range(len(seen.answers)):
                row = next(rows)
                mask = tokens.mask[row]
                measured.close(subject, tokens.logp_image[row][mask], seen.logp(number))
                measured.close(f"{subject}, blind", tokens.logp_blind[row][mask], blind.logp(number))
    assert next(rows, None) is None


def test_several_turns(lvlm: HuggingFaceLVLM, native: Native, images: list[Image], measured: Measured) -> None:
    contexts = [[images[1]], [images[2]]]
    check(lvlm, native, measured, "conversation", contexts, [[TURNS, TURNS[2:]], [TURNS[:2]]])


@pytest.mark.parametrize(
    ("kind", "indices"), [("of one size", (0, 3)), ("of different sizes", (1, 2))], ids=["equal", "unequal"]
)
def test_two_images(
    lvlm: HuggingFaceLVLM,
    native: Native,
    family: Family,
    images: list[Image],
    measured: Measured,
    kind: str,
    indices: tuple[int, int],
) -> None:
    own = [images[index] for index in indices]
    if family.one_image:
        with pytest.raises(ConversationError):
            lvlm.score([own], [[TWO]])
        return
    check(lvlm, native, measured, f"two images {kind}", [own, [images[4]]], [[TWO, LATER], [TURNS]])
