"""Scores of long conversations, and of several images, against one plain forward of each."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.records import Conversation, Turn
from tests.helpers.families.native import Native
from tests.helpers.families.samples import CLOSE

LONG = (
    Turn("user", "What color are the rings?"),
    Turn("assistant", "red"),
    Turn("user", "Where are they, then?"),
    Turn("assistant", "Top left, word by word. 🙂"),
    Turn("user", "How many?"),
    Turn("assistant", "four"),
)
SHORT = LONG[4:]
TWO = (
    Turn("user", "Which of the two is red?", (0, 0)),
    Turn("assistant", "the second"),
    Turn("user", "Why so?"),
    Turn("assistant", "there are rings"),
)
LATER = (
    Turn("user", "Where?", (0,)),
    Turn("assistant", "top left"),
    Turn("user", "And here?", (0,)),
    Turn("assistant", "red"),
)


# the same picture as in others, but not before the first words
GREETED = (
    Turn("user", "Hello."),
    Turn("assistant", "hi"),
    Turn("user", "How many?", (0,)),
    Turn("assistant", "four"),
)


def as_messages(turns: Sequence[Turn], images: Sequence[Image]) -> list[dict[str, Any]]:
    """Content lists; what stands in these conversations stands at the beginning of a turn."""
    waiting = iter(images)
    out = list[dict[str, Any]]()
    for number, turn in enumerate(turns):
        count = len(turn.images) or (len(images) if number == 0 and not any(t.images for t in turns) else 0)
        pictures = [{"type": "image", "image": next(waiting)} for _ in range(count if images else 0)]
        out.append({"role": turn.role, "content": [*pictures, {"type": "text", "text": turn.text}]})
    return out


@torch.no_grad()
def alone(native: Native, turns: Sequence[Turn], images: Sequence[Image]) -> list[Tensor]:
    """Log-probabilities of the tokens of each answer."""
    run = native.forward(as_messages(turns, images))
    return [run.logp(number) for number in range(len(run.answers))]


@pytest.mark.parametrize(
    ("contexts", "chats"),
    [
        ([[0]], [[LONG]]),
        ([[1], [2]], [[LONG, SHORT], [SHORT]]),
        ([[1], [2]], [[SHORT], [LONG]]),
        ([[0, 1], [2]], [[TWO], [LONG]]),
        ([[1, 0]], [[TWO, TWO[:2]]]),
        ([[1, 2]], [[LATER]]),
        ([[2, 0], [1]], [[LATER, TWO], [SHORT, LONG]]),
        ([[1], [0]], [[SHORT, GREETED], [SHORT, LONG]]),
    ],
    ids=["long", "shared", "one each", "two images", "two images shared", "later image", "all at once", "unlike"],
)
def test_every_answer_as_in_a_plain_forward(
    lvlm: HuggingFaceLVLM,
    native: Native,
    images: list[Image],
    contexts: list[list[int]],
    chats: list[list[tuple[Turn, ...]]],
) -> None:
    own = [[images[n] for n in context] for context in contexts]
    other = [[images[n + 1] for n in context] for context in contexts]
    tokens = lvlm.score(own, chats, other)
    rows = iter(range(len(tokens.mask)))
    for mine, theirs, same in zip(own, other, chats, strict=True):
        for turns in same:
            columns = [alone(native, turns, pictures) for pictures in (mine, [], theirs)]
            for logp, logq, shuffled in zip(*columns, strict=True):
                row = next(rows)
                mask = tokens.mask[row]
                torch.testing.assert_close(tokens.logp_image[row][mask], logp, **CLOSE)
                torch.testing.assert_close(tokens.logp_blind[row][mask], logq, **CLOSE)
                assert tokens.logp_shuffled is not None
                torch.testing.assert_close(tokens.logp_shuffled[row][mask], shuffled, **CLOSE)
    assert next(rows, None) is None


@torch.no_grad()
def test_records_of_several_images_in_training(lvlm: HuggingFaceLVLM, native: Native, images: list[Image]) -> None:
    chats = [(TWO, images[:2]), (LONG, []), (LATER, images[1:3]), (SHORT, images[2:3])]
    records = [(Conversation("r", None, turns), pictures) for turns, pictures in chats]
    batch = lvlm.encode_conversations(records)
    found = lvlm.conversation_logp(batch)
    for row, (turns, pictures) in enumerate(chats):
        run = native.forward(as_messages(turns, pictures))
        assert batch.ids[row][batch.mask[row]].tolist() == run.ids.tolist()
        expected = torch.cat([run.logp(number, closed=True) for number in range(len(run.answers))])
        torch.testing.assert_close(found[row][batch.target[row]], expected, **CLOSE)
