"""Several images in a conversation, and images that stand elsewhere than at its beginning."""

from pathlib import Path
from typing import Any

import pytest
from PIL.Image import Image

from lightning_c3l.lvlm.base import ConversationError
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.records import Turn
from tests.helpers.tiny import encoder_of, pictures
from tests.lvlm.huggingface.test_chat import styled

Said = list[tuple[str, list[str | Image]]]
FIRST, SECOND, THIRD = pictures(3)
# turns as we write them, and the same as content lists, which the processor alone makes tokens of
CASES: dict[str, tuple[tuple[Turn, ...], Said]] = {
    "two at the beginning": (
        (Turn("user", "\nWhich one?", (0, 0)), Turn("assistant", "the first")),
        [("user", [FIRST, SECOND, "Which one?"]), ("assistant", ["the first"])],
    ),
    "without places": (
        (Turn("system", "Be brief."), Turn("user", "Which one?"), Turn("assistant", "the first")),
        [("system", ["Be brief."]), ("user", [FIRST, SECOND, "Which one?"]), ("assistant", ["the first"])],
    ),
    "in the middle": (
        (Turn("user", "Is \n like  too? ", (4, 10)),),
        [("user", ["Is \n", FIRST, " like ", SECOND, " too?"])],
    ),
    "at the end": ((Turn("user", "What is this? \n", (14, 15)),), [("user", ["What is this?", FIRST, SECOND])]),
    "a turn of images alone": ((Turn("user", " ", (0, 1)),), [("user", [FIRST, SECOND])]),
    "in a later turn": (
        (Turn("user", "Hello.", ()), Turn("assistant", "hi"), Turn("user", "And this? And this?", (0, 10))),
        [("user", ["Hello."]), ("assistant", ["hi"]), ("user", [FIRST, "And this? ", SECOND, "And this?"])],
    ),
}


def by_the_processor(processor: Any, said: Said) -> list[int]:
    """Tokens by template and processor alone; the end of turn put in where the template writes none."""
    content = [
        {
            "role": role,
            "content": [{"type": "text", "text": p} if isinstance(p, str) else {"type": "image"} for p in pieces],
        }
        for role, pieces in said
    ]
    text = processor.apply_chat_template(content, tokenize=False, add_generation_prompt=said[-1][0] != "assistant")
    images = [piece for _, pieces in said for piece in pieces if not isinstance(piece, str)]
    bos = processor.tokenizer.bos_token
    text = (
        text.removeprefix(bos) if processor.tokenizer("a")["input_ids"][0] == processor.tokenizer.bos_token_id else text
    )
    return processor(text=[text], images=[images])["input_ids"][0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("style", ["llava", "chatml", "gemma"])
def test_tokens_are_those_of_the_processor(tiny_checkpoint: Path, style: str, case: str) -> None:
    processor = styled(tiny_checkpoint, style)
    encoder, (turns, said) = encoder_of(processor), CASES[case]
    tokens, _ = encoder.images.encode([FIRST, SECOND])
    assert list(encoder.encode(turns, tokens).ids) == by_the_processor(processor, said)


def test_without_images_their_places_are_passed_over(tiny_checkpoint: Path) -> None:
    encoder = encoder_of(styled(tiny_checkpoint, "llava"))
    placed, plain = Turn("user", "Is this like that?", (8,)), Turn("user", "Is this like that?")
    assert encoder.encode((placed,)) == encoder.encode((plain,))


@pytest.mark.parametrize(
    ("turns", "count"),
    [
        ((Turn("user", "a", (0,)),), 2),
        ((Turn("user", "a", (0, 1)),), 1),
        ((Turn("user", "a"), Turn("assistant", "b", (0,))), 1),
    ],
)
def test_images_that_do_not_fit_the_turns(tiny_checkpoint: Path, turns: tuple[Turn, ...], count: int) -> None:
    encoder = encoder_of(styled(tiny_checkpoint, "llava"))
    tokens, _ = encoder.images.encode([FIRST, SECOND, THIRD][:count])
    with pytest.raises(ConversationError, match=r"image positions for|must not contain an image"):
        encoder.encode(turns, tokens)


def lengths(encoder: ChatEncoder, *answers: str) -> list[int]:
    turns = [Turn(role, text) for n, a in enumerate(answers) for role, text in (("user", f"{n}?"), ("assistant", a))]  # type: ignore[arg-type]
    return encoder.encode(turns).answer_lengths


def test_lengths_of_the_answers(tiny_checkpoint: Path) -> None:
    encoder = encoder_of(styled(tiny_checkpoint, "chatml"))
    (red,), (many,) = lengths(encoder, "red"), lengths(encoder, "two rings at the top")
    assert many > red > 0
    assert lengths(encoder, "two rings at the top", "", "red") == [many, 0, red]
    assert encoder.encode([Turn("user", "Where?")]).answer_lengths == []


def test_halves_of_characters_are_replaced(tiny_checkpoint: Path) -> None:
    """JSON can hold them, tokenizers cannot."""
    encoder = encoder_of(styled(tiny_checkpoint, "llava"))
    half, whole = ((Turn("user", f"a {mark} b"), Turn("assistant", f"{mark}")) for mark in ("\ud83d", "\ufffd"))
    assert encoder.encode(half) == encoder.encode(whole)
