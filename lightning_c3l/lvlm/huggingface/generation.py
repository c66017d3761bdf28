"""Batched sampling of texts."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL.Image import Image
from transformers import GenerationConfig

from lightning_c3l.conversations import Turn
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.huggingface.batching import encode_images, pad, pad_mask, splice
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder, EncodedChat


@torch.inference_mode()
def generate(
    model: Any,
    encoder: ChatEncoder,
    placeholder: int,
    images: Sequence[Image],
    chats: Sequence[EncodedChat],
    sampling: Sampling,
    seed: int,
) -> list[list[str]]:
    """`sampling.samples` texts for each (image, open chat); the global random state is left as it was."""
    pixels = encode_images(encoder.processor, images)
    rows = [splice(chat, tokens, placeholder).ids for chat, tokens in zip(chats, pixels.tokens, strict=True)]
    inputs = {
        "input_ids": pad(rows, side="left"),
        "attention_mask": pad_mask([len(row) for row in rows], side="left").long(),
        **pixels.tensors,
    }
    inputs = {name: value.to(model.device) for name, value in inputs.items()}
    cuda = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        out = model.generate(**inputs, generation_config=_config(encoder, sampling))
    texts = encoder.tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    n = sampling.samples
    return [[text.strip() for text in texts[i : i + n]] for i in range(0, len(texts), n)]


def encode_prompts(
    encoder: ChatEncoder, prompts: Sequence[str], begun: Sequence[str] | None = None
) -> list[EncodedChat]:
    """Chats with an image that are open for the assistant, who may have begun to answer."""
    if begun is None:
        return [encoder.encode((Turn("user", prompt),), image=True) for prompt in prompts]
    chats = [
        encoder.encode((Turn("user", prompt), Turn("assistant", text)), image=True)
        for prompt, text in zip(prompts, begun, strict=True)
    ]
    opened = encode_prompts(encoder, prompts)
    return [_cut(chat) if any(chat.answer) else plain for chat, plain in zip(chats, opened, strict=True)]


def _cut(chat: EncodedChat) -> EncodedChat:
    """A chat without the end of the assistant's turn: it goes on."""
    n = len(chat.answer) - chat.answer[::-1].index(True)
    return EncodedChat(chat.ids[:n], chat.answer[:n], chat.target[:n])


def _config(encoder: ChatEncoder, sampling: Sampling) -> GenerationConfig:
    drawn = sampling.temperature > 0
    ends = encoder.end_of_turn_ids()
    pad_id = encoder.tokenizer.pad_token_id
    return GenerationConfig(
        do_sample=drawn,
        temperature=sampling.temperature if drawn else None,
        top_p=sampling.top_p if drawn else None,
        top_k=0 if drawn else None,
        # what is left open would be filled from the checkpoint's own generation_config.json
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        num_return_sequences=sampling.samples,
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=ends,
        pad_token_id=ends[0] if pad_id is None else pad_id,
    )
