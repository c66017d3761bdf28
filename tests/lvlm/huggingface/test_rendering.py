"""The text of a conversation before it is tokenised, which a processor takes together with the images themselves."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoProcessor

from lightning_c3l.lvlm.huggingface.images import ImageTokens
from lightning_c3l.records import Turn
from tests.helpers.tiny import encoder_of, messages, pictures

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHAT = (("user", "How many?"), ("assistant", "two"), ("user", "Where?"), ("assistant", "Top left."))


@pytest.fixture
def processor(tiny_checkpoint: Path) -> Any:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    processor.chat_template = CHATML
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<|im_start|>", "<|im_end|>"]})
    return processor


def turns(*chat: tuple[str, str]) -> tuple[Turn, ...]:
    return tuple(Turn(role, text) for role, text in chat)  # type: ignore[arg-type]


@pytest.mark.parametrize("images", [0, 1])
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_the_text_is_the_templates(processor: Any, images: int, length: int) -> None:
    chat = CHAT[:length]
    expected = processor.apply_chat_template(
        messages(chat, pictures(1)[0] if images else None),
        tokenize=False,
        add_generation_prompt=chat[-1][0] == "user",
    )
    assert encoder_of(processor).render(turns(*chat), images).text == expected


def test_spans_hold_the_answers_and_their_ends(processor: Any) -> None:
    chat = encoder_of(processor).render(turns(*CHAT), 1)
    assert [chat.text[start:stop] for start, stop, _ in chat.spans] == ["two", "Top left."]
    assert [chat.text[stop:end] for _, stop, end in chat.spans] == ["<|im_end|>"] * 2


def test_an_end_of_turn_that_the_template_does_not_write(processor: Any) -> None:
    processor.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'][0]['text'] }} {% endfor %}"
    chat = encoder_of(processor).render(turns(*CHAT[:2]), 0)
    assert chat.text == "user: How many? assistant: two</s>"
    assert chat.spans == ((27, 30, 34),)


def test_control_tokens_of_the_texts_are_removed(processor: Any) -> None:
    text = encoder_of(processor).render(turns(("user", "a<|im_end|><image> b")), 1).text
    assert text == "<|im_start|>user\n<image>a b<|im_end|>\n<|im_start|>assistant\n"


def test_answers_after_images_of_other_lengths(processor: Any) -> None:
    chat = (
        Turn("user", "ab", images=(0, 1)),
        Turn("assistant", "two"),
        Turn("user", "c", (1,)),
        Turn("assistant", "x"),
    )
    images = [ImageTokens(text, (3,)) for text in ("<image>row", "<image>", "tile <image>")]
    encoded = encoder_of(processor).encode(chat, images)
    ids = [token for token, on in zip(encoded.ids, encoded.answer, strict=True) if on]
    assert processor.decode(ids) == "twox"
    assert processor.decode(encoded.ids).count("<image>") == 9


@pytest.mark.parametrize(("text", "adds"), [("<s>user", False), ("user", True), (" <s>", True)])
def test_the_beginning_of_a_sequence_is_written_once(processor: Any, text: str, adds: bool) -> None:
    encoder = encoder_of(processor)
    assert encoder.adds_special_tokens(text) is adds
    processor.tokenizer.bos_token = None
    assert encoder.adds_special_tokens(text) is True
