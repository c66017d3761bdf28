"""What stands for an image in a text: found by rendering the template and asking the processor."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.placeholders import Placeholder, find_placeholder

TOKEN, QUESTION_MARK, SEPARATOR = 7, ord("?"), ord("|")
Messages = Sequence[dict[str, Any]]


class Asked:
    """A processor that writes `written` for an image, and replaces `replaced` with image tokens."""

    def __init__(self, written: str, replaced: str, vocabulary: Sequence[str] = (), **named: str) -> None:
        self.written, self.replaced = written, replaced
        tokens = {number: SimpleNamespace(content=token) for number, token in enumerate(vocabulary)}
        self.tokenizer = SimpleNamespace(added_tokens_decoder=tokens, decode=lambda ids, **_: "".join(map(chr, ids)))
        self.options = dict[str, Any]()
        vars(self).update(named)

    def apply_chat_template(self, messages: Messages, tokenize: bool, **options: Any) -> str:
        self.options = options
        parts = [self.written if part["type"] == "image" else part["text"] for part in messages[0]["content"]]
        return f"<user>{''.join(parts)}<end>"

    def __call__(self, text: Sequence[str], images: Sequence[Sequence[Image]], **options: Any) -> dict[str, Tensor]:
        if self.replaced not in text[0]:
            raise ValueError("one placeholder\nfor each image")
        return {"input_ids": torch.tensor([[1, TOKEN, TOKEN, QUESTION_MARK]])}


def placeholder(processor: Any, token: int | None = TOKEN) -> str:
    return find_placeholder(processor, "some/model", token, {}).text


def test_the_image_token_itself() -> None:
    assert placeholder(Asked("<image>", "<image>", image_token="<image>")) == "<image>"


def test_the_token_that_begins_an_image() -> None:
    """As Gemma 3 does, whose processor adds the image tokens behind it."""
    assert placeholder(Asked("<start>", "<start>", image_token="<soft>", boi_token="<start>")) == "<start>"


def test_the_image_token_of_a_processor_that_also_has_one_to_begin_with() -> None:
    """As Gemma 4 does, whose processor adds the tokens around it."""
    assert placeholder(Asked("<image>", "<image>", image_token="<image>", boi_token="<start>")) == "<image>"


def test_one_token_among_those_that_the_template_writes() -> None:
    vocabulary = ["<begin>", "<pad>", "<done>", "<user>", "<end>"]
    assert placeholder(Asked("<begin><pad><done>", "<pad>", vocabulary)) == "<pad>"


def test_all_tokens_of_a_template_that_writes_a_run_of_them() -> None:
    """As PP-Chart2Table's does, whose images have all the same number of tokens."""
    run = "<begin><pad><pad><pad><done>"
    assert placeholder(Asked(run, run, ["<begin>", "<pad>", "<done>"], image_token="<pad>")) == run


def test_a_text_that_is_no_token() -> None:
    assert placeholder(Asked("\n(image 1)\n", "(image 1)", ["<user>", "<end>"])) == "(image 1)"


def test_a_text_that_shares_characters_with_what_follows() -> None:
    assert placeholder(Asked("<?", "<?")) == "<?"


def test_no_text_at_all() -> None:
    """As BLIP-2's processor does, which puts the image before the text by itself."""
    assert placeholder(Asked("", "", image_token="<image>")) == ""


def test_a_token_that_is_accepted_without_effect_is_none() -> None:
    class Silent(Asked):
        def __call__(self, text: Sequence[str], images: Sequence[Sequence[Image]], **options: Any) -> dict[str, Tensor]:
            return {"input_ids": torch.tensor([[1, TOKEN if text[0].startswith("<pad>") else 3, 2]])}

    assert placeholder(Silent("<begin><pad>", "", ["<begin>", "<pad>"], image_token="<begin>")) == "<pad>"


@pytest.mark.parametrize("insists", [True, False], ids=["wants an image", "wants strings"])
def test_templates_that_refuse(insists: bool) -> None:
    class Refusing(Asked):
        def apply_chat_template(self, messages: Messages, tokenize: bool, **options: Any) -> str:
            if not insists or len(messages[0]["content"]) < 2:
                raise TypeError("refused")
            return super().apply_chat_template(messages, tokenize, **options)

    assert placeholder(Refusing("<image>", "<image>", ["<user>"], image_token="<image>")) == "<image>"


def test_a_processor_that_accepts_none_is_refused_with_its_reasons() -> None:
    with pytest.raises(LVLMError, match=r"some/model: the processor takes no image .*'<a>': one placeholder for each"):
        placeholder(Asked("<a>", "<b>", image_token="<a>"))


def test_a_model_without_image_token_in_its_configuration() -> None:
    assert placeholder(Asked("<image>", "<image>", image_token="<image>"), None) == "<image>"


def test_the_template_is_rendered_with_its_options() -> None:
    processor = Asked("<image>", "<image>", image_token="<image>")
    find_placeholder(processor, "some/model", TOKEN, {"enable_thinking": False})
    assert processor.options == {"enable_thinking": False}


def test_what_the_processor_writes_behind_a_text() -> None:
    """As Chameleon's does, whose processor ends a question with a separator."""

    class Separating(Asked):
        def __call__(self, text: Sequence[str], images: Sequence[Sequence[Image]], **options: Any) -> dict[str, Tensor]:
            return {"input_ids": torch.tensor([[1, TOKEN, QUESTION_MARK, SEPARATOR]])}

    found = find_placeholder(Separating("<image>", "<image>", image_token="<image>"), "some/model", TOKEN, {})
    assert found == Placeholder("<image>", "|")
    alone = find_placeholder(Asked("<image>", "<image>", image_token="<image>"), "some/model", TOKEN, {})
    assert alone == Placeholder("<image>", "")
