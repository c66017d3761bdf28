"""Bodies of requests, against what the chat API takes."""

from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.external import RequestOptions
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.served.messages import chat_body, conversation_body, data_url, sampling_body
from lightning_c3l.records import Turn
from tests.helpers.tiny import load_tiny, pictures


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


def decoded(url: str) -> Image.Image:
    kind, _, data = url.partition(";base64,")
    assert kind == "data:image/png"
    return Image.open(BytesIO(b64decode(data)))


def test_images_are_sent_without_loss() -> None:
    image = Image.effect_noise((37, 21), 80).convert("RGB")
    sent = decoded(data_url(image))
    assert sent.mode == "RGB"
    assert sent.size == (37, 21)
    assert ImageChops.difference(sent, image).getbbox() is None


@pytest.mark.parametrize(("alpha", "value"), [(255, 100), (0, 255), (51, 224)])
def test_what_is_transparent_is_sent_on_white(alpha: int, value: int) -> None:
    # a fifth of 100 and four fifths of 255 are 224
    sent = decoded(data_url(Image.new("RGBA", (3, 2), (100, 100, 100, alpha))))
    assert sent.mode == "RGB"
    assert sent.getextrema() == ((value, value),) * 3


def test_an_image_alone_stands_beside_no_empty_text(lvlm: HuggingFaceLVLM) -> None:
    (message,) = chat_body(lvlm, GenerationRequest(" </s> ", pictures(1)[0]))["messages"]
    assert [part["type"] for part in message["content"]] == ["image_url"]
    (message,) = chat_body(lvlm, GenerationRequest(" </s> "))["messages"]
    assert message["content"] == [{"type": "text", "text": ""}]


def test_a_prompt(lvlm: HuggingFaceLVLM) -> None:
    image = pictures(1)[0]
    body = chat_body(lvlm, GenerationRequest(" Where <image> is it?</s>", image))
    (message,) = body["messages"]
    assert message["role"] == "user"
    picture, text = message["content"]
    assert picture["type"] == "image_url"
    assert ImageChops.difference(decoded(picture["image_url"]["url"]), image).getbbox() is None
    assert text == {"type": "text", "text": "Where  is it?"}
    assert body["add_generation_prompt"] is True
    assert body.keys() == {"messages", "add_generation_prompt"}


def test_special_tokens_are_added_where_the_template_writes_no_beginning(
    lvlm: HuggingFaceLVLM, family_checkpoint: Callable[[str], Path]
) -> None:
    # LLaVA-1.5's template begins with USER, and its tokenizer puts the beginning of a text before it
    other = load_tiny(family_checkpoint("llava-1.5"))
    (ids,) = other.prompt_ids([GenerationRequest("Where?")])
    assert ids[0] == other.processor.tokenizer.bos_token_id
    assert chat_body(other, GenerationRequest("Where?"))["add_special_tokens"] is True
    assert "add_special_tokens" not in chat_body(lvlm, GenerationRequest("Where?"))


def test_a_prefix_is_continued(lvlm: HuggingFaceLVLM) -> None:
    body = chat_body(lvlm, GenerationRequest("Where?", answer_prefix="Question: "))
    user, assistant = body["messages"]
    assert user["content"] == [{"type": "text", "text": "Where?"}]
    assert assistant == {"role": "assistant", "content": [{"type": "text", "text": "Question:"}]}
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False
    # nothing is left of this one to continue
    assert "continue_final_message" not in chat_body(lvlm, GenerationRequest("Where?", answer_prefix=" </s>"))


def test_a_conversation_has_its_image_at_the_first_user_turn(lvlm: HuggingFaceLVLM) -> None:
    turns = [Turn("system", "s"), Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", "d")]
    body = conversation_body(lvlm, pictures(1)[0], turns)
    kinds = [(one["role"], [part["type"] for part in one["content"]]) for one in body["messages"]]
    text = ["text"]
    assert kinds == [
        ("system", text),
        ("user", ["image_url", "text"]),
        ("assistant", text),
        ("user", text),
        ("assistant", text),
    ]
    assert body["continue_final_message"] is True


def test_sampling_leaves_nothing_to_the_servers_defaults() -> None:
    body = sampling_body(RequestOptions((2, 7), (32000,)), Sampling(4, 60, 0.7, 0.9), seed=1 << 47)
    assert body == {
        "n": 4,
        "seed": 1 << 47,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 60,
        "stop_token_ids": [2, 7],
        "logit_bias": {"32000": -100},
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }


def test_variables_of_the_template_are_sent(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lvlm.encoder.template, "options", {"enable_thinking": False})
    assert chat_body(lvlm, GenerationRequest("a"))["chat_template_kwargs"] == {"enable_thinking": False}
