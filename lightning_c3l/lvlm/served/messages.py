"""Requests as bodies of the chat endpoint: what a server must read as our own encoder does."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from PIL import Image

from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.external import RequestOptions, ServableLVLM
from lightning_c3l.records import Turn

# a token with this bias is never sampled; the API allows no lower one
_NEVER = -100
# of zlib: level 1 takes a third of the time of the usual 6, for files that are a tenth larger
_COMPRESSION = 1
# what a checkpoint's generation_config.json would otherwise add to the distribution that answers are scored by
_NEUTRAL = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


def data_url(image: Image.Image) -> str:
    """An image as a URL that holds its pixels, without loss."""
    file = BytesIO()
    if image.has_transparency_data:  # on white, as the image processors of transformers put it
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image.convert("RGB").save(file, "PNG", compress_level=_COMPRESSION, icc_profile=None)
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()


def chat_body(lvlm: ServableLVLM, request: GenerationRequest, url: str | None = None) -> dict[str, Any]:
    """The conversation of a prompt, for the server to complete.

    Args:
        lvlm: cleans the texts, and says what its chat template is given.
        request: the prompt.
        url: of its image, if that has been made before.
    """
    if request.image is not None and url is None:
        url = data_url(request.image)
    prefix = lvlm.clean(request.answer_prefix)
    turns = [Turn("user", request.prompt), *([Turn("assistant", prefix)] if prefix else [])]
    return _body(lvlm, turns, url)


def conversation_body(lvlm: ServableLVLM, image: Image.Image | None, turns: Sequence[Turn]) -> dict[str, Any]:
    """A conversation whose last answer stays open, so that the server reads its tokens and no end of turn.

    Args:
        lvlm: cleans the texts, and says what its chat template is given.
        image: stands before the text of the first user turn.
        turns: end with the assistant's.
    """
    return _body(lvlm, turns, None if image is None else data_url(image))


def sampling_body(options: RequestOptions, sampling: Sampling, seed: int) -> dict[str, Any]:
    """What says how completions are sampled: by the model's own distribution, whatever the server's defaults are."""
    return {
        "n": sampling.samples,
        "seed": seed,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_new_tokens,
        "stop_token_ids": list(options.end_ids),
        "logit_bias": {str(token): _NEVER for token in options.forbidden_ids},
        **_NEUTRAL,
    }


def _body(lvlm: ServableLVLM, turns: Sequence[Turn], url: str | None) -> dict[str, Any]:
    messages = list[dict[str, Any]]()
    waiting = url
    for turn in turns:
        content = list[dict[str, Any]]()
        if waiting is not None and turn.role == "user":
            content.append({"type": "image_url", "image_url": {"url": waiting}})
            waiting = None
        text = lvlm.clean(turn.text)
        # beside an image, templates would write a separator before an empty text
        if text or not content:
            content.append({"type": "text", "text": text})
        messages.append({"role": turn.role, "content": content})
    is_open = turns[-1].role == "assistant"
    options = lvlm.request_options()
    return {
        "messages": messages,
        "add_generation_prompt": not is_open,
        # vLLM's tokenizer adds none to conversations unless it is asked to
        **({"add_special_tokens": True} if options.adds_special_tokens else {}),
        **({"continue_final_message": True} if is_open else {}),
        **({"chat_template_kwargs": options.template_options} if options.template_options else {}),
    }
