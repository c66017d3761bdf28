"""What stands for an image in a text: asked of the chat template and the processor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from PIL import Image

from lightning_c3l.lvlm.base import LVLMError

_REFUSALS = (TemplateError, ValueError, TypeError, IndexError, KeyError, AttributeError)


@dataclass(frozen=True)
class Placeholder:
    """What a processor makes of a text with an image.

    Attributes:
        text: what stands for the image; empty if the processor puts it before the text.
        suffix: what the processor writes behind a text, such as a separator between question and answer.
    """

    text: str
    suffix: str = ""


def find_placeholder(processor: Any, name: str, token: int | None, options: Mapping[str, Any]) -> Placeholder:
    """The text that the chat template puts for an image, and that the processor replaces with image tokens.

    Families differ in it: it is one image token, a token that begins an image, or several; some processors put the
    image before the text by themselves. So the template is rendered with and without an image, and the processor tries
    what has been added.

    Args:
        processor: with a chat template.
        name: of the model, for messages.
        token: id of the image token, if the model's configuration has one.
        options: values of the template's variables.

    Raises:
        LVLMError: if the processor accepts none.
    """
    reasons = list[str]()
    image = Image.linear_gradient("L").convert("RGB")
    for text in _candidates(processor, options):
        try:
            ids = processor(text=[f"{text}?"], images=[[image]], return_tensors="pt")["input_ids"][0].tolist()
        except (*_REFUSALS, RuntimeError, OSError) as error:
            reasons.append(f"{text!r}: {error}")
            continue
        if token is None or token in ids:
            written = processor.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
            return Placeholder(text, written.rpartition("?")[2])
        reasons.append(f"{text!r}: no image tokens")
    tried = "; ".join(" ".join(reason.split()) for reason in reasons)
    raise LVLMError(f"{name}: the processor takes no image with what the chat template writes for one ({tried})")


def _candidates(processor: Any, options: Mapping[str, Any]) -> list[str]:
    """Texts that may stand for an image, the likeliest first."""
    named = (getattr(processor, attribute, None) for attribute in ("image_token", "boi_token"))
    known = [str(token) for token in named if token is not None]
    with_image, without = (_render(processor, options, images) for images in (1, 0))
    if with_image is None:  # a template that takes no list of parts, or none at all
        return known
    if with_image == without:
        return ["", *known]
    without = without or ""  # a template that insists on an image: all of its text is looked at
    tokens = known + [token.content for token in processor.tokenizer.added_tokens_decoder.values()]
    written = [token for token in tokens if with_image.count(token) - without.count(token) == 1]
    before = _common_length(with_image, without)
    after = _common_length(with_image[before:][::-1], without[before:][::-1])
    added = with_image[before : len(with_image) - after].strip()
    return list(dict.fromkeys([*written, *([added] if added else []), *known]))


def _render(processor: Any, options: Mapping[str, Any], images: int) -> str | None:
    content = [{"type": "image"}] * images + [{"type": "text", "text": "?"}]
    try:
        text = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False, **options)
    except _REFUSALS:
        return None
    return str(text)


def _common_length(first: str, second: str) -> int:
    """Number of characters at the beginning of two texts that are the same."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(first), len(second)))
