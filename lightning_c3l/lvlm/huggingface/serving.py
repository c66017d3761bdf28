"""What a server that generates with the weights of a `HuggingFaceLVLM` must be told, and must agree with."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL.Image import Image
from torch import nn

from lightning_c3l.distributed.fsdp import whole_state
from lightning_c3l.lvlm.base import GenerationRequest
from lightning_c3l.lvlm.external import RequestOptions
from lightning_c3l.lvlm.huggingface.batching import TokenIds
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.generation import open_chat
from lightning_c3l.lvlm.huggingface.hub_layout import save_model
from lightning_c3l.lvlm.huggingface.images import ImageEncoder, ImageTokens
from lightning_c3l.lvlm.huggingface.plain_generation import open_text
from lightning_c3l.lvlm.huggingface.plain_rows import encode_rows, processor_inputs
from lightning_c3l.records import Turn


def encoded_prompt_ids(encoder: ChatEncoder, requests: Sequence[GenerationRequest]) -> list[TokenIds]:
    """Token row of each prompt; the processor runs once for an image that occurs in several."""
    images = {id(one.image): one.image for one in requests if one.image is not None}
    tokens = {key: _image_tokens(encoder.images, image) for key, image in images.items()}
    return [open_chat(encoder, one.prompt, one.answer_prefix, tokens.get(id(one.image))).ids for one in requests]


def plain_prompt_ids(encoder: ChatEncoder, request: GenerationRequest) -> TokenIds:
    """Token row of a prompt as the processor encodes it."""
    images = () if request.image is None else (request.image,)
    row = processor_inputs(encoder, [open_text(encoder, request)], [images])["input_ids"][0]
    return tuple(row.tolist())


def encoded_answer_ids(
    encoder: ChatEncoder, image: Image | None, turns: Sequence[Turn]
) -> tuple[TokenIds, tuple[bool, ...]]:
    """Token row up to the end of the last answer, and which tokens are this answer's."""
    chat = encoder.encode(turns, None if image is None else _image_tokens(encoder.images, image))
    return _up_to_last_answer(chat.ids, chat.answer)


def plain_answer_ids(
    encoder: ChatEncoder, image: Image | None, turns: Sequence[Turn]
) -> tuple[TokenIds, tuple[bool, ...]]:
    """The same as `encoded_answer_ids`, as the processor encodes the conversation."""
    rows = encode_rows(encoder, [(turns, () if image is None else (image,))], 1)
    mask = rows.mask[0]
    return _up_to_last_answer(rows.ids[0][mask].tolist(), rows.answer[0][mask].tolist())


def request_options(encoder: ChatEncoder, vocab_size: int) -> RequestOptions:
    """What a server must be told so that it generates as the model does here."""
    token = encoder.images.token
    # some image tokens are no token of the decoder
    forbidden = (token,) if 0 <= token < vocab_size else ()
    text = open_text(encoder, GenerationRequest("?"))
    bare, ours = (
        encoder.tokenizer(text, add_special_tokens=adds)["input_ids"]
        for adds in (False, encoder.adds_special_tokens(text))
    )
    return RequestOptions(tuple(encoder.end_of_turn_ids()), forbidden, dict(encoder.template.options), bare != ours)


def is_untrained(network: nn.Module, original: nn.Module | None) -> bool:
    """Whether a network, with whole weights, computes what its base does.

    Args:
        network: with adapters, or trained itself.
        original: copy of the weights from before training; without it, a network without adapters counts as trained.
    """
    if isinstance(network, PeftModel):
        # the second factor of each update, which begins as zeros
        second = [value for name, value in network.named_parameters() if "lora_" in name and "_B." in name]
        return bool(second) and not any(bool(value.any()) for value in second)
    if original is None:
        return not any(value.requires_grad for value in network.parameters())
    before = whole_state(original)
    return all(torch.equal(value, before[name].to(value.device)) for name, value in whole_state(network).items())


def save_merged(network: Any, processor: Any, folder: Path) -> None:
    """Write all weights, adapters folded in, and the processor; names of weights are those of the checkpoint."""
    if isinstance(network, PeftModel):
        network = copy.deepcopy(network).merge_and_unload()
    save_model(network, folder, whole_state(network))
    processor.save_pretrained(folder)


def _image_tokens(images: ImageEncoder, image: Image) -> ImageTokens:
    """Tokens of an image, without the vision tower."""
    return images.encode([image])[0][0]


def _up_to_last_answer(ids: Sequence[int], answer: Sequence[bool]) -> tuple[TokenIds, tuple[bool, ...]]:
    stop = len(answer) - list(answer)[::-1].index(True)
    before = answer[:stop]
    start = max((index + 1 for index, is_answer in enumerate(before) if not is_answer), default=0)
    return tuple(ids[:stop]), (False,) * start + (True,) * (stop - start)
