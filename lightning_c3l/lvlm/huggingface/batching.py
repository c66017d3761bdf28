"""Images and token rows as model inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.chat import EncodedChat

Row = tuple[int, ...]


@dataclass(frozen=True)
class PixelBatch:
    """Images as a model takes them: the tokens that stand for each, and the pixel tensors of all."""

    tokens: list[Row]
    tensors: dict[str, Tensor]


def encode_images(processor: Any, images: Sequence[Image]) -> PixelBatch:
    """Run the processor on images alone, so that each is prepared once whatever is said about it."""
    out = processor(
        text=[processor.image_token] * len(images),
        images=list(images),
        return_tensors="pt",
        padding=True,
        add_special_tokens=False,
    )
    mask = out.pop("attention_mask").bool()
    ids = out.pop("input_ids")
    tokens = [tuple(row[keep].tolist()) for row, keep in zip(ids, mask, strict=True)]
    return PixelBatch(tokens, {k: v for k, v in out.items() if isinstance(v, Tensor) and k != "token_type_ids"})


def splice(chat: EncodedChat, image_tokens: Row, placeholder: int) -> EncodedChat:
    """Put an image's tokens in the place of its placeholder.

    Raises:
        LVLMError: if there is not exactly one placeholder.
    """
    if chat.ids.count(placeholder) != 1:
        raise LVLMError(f"the chat template wrote {chat.ids.count(placeholder)} image placeholders instead of 1")
    at = chat.ids.index(placeholder)
    off = (False,) * len(image_tokens)
    return EncodedChat(
        chat.ids[:at] + image_tokens + chat.ids[at + 1 :],
        chat.answer[:at] + off + chat.answer[at + 1 :],
        chat.target[:at] + off + chat.target[at + 1 :],
    )


def common_prefix(rows: Sequence[Row], limit: int) -> int:
    """Length of the longest common beginning of token rows, at most `limit`."""
    first = rows[0]
    length = min(limit, *(len(row) for row in rows))
    for row in rows[1:]:
        if row[:length] != first[:length]:
            length = next(i for i in range(length) if row[i] != first[i])
    return length


def pad(rows: Sequence[Sequence[int] | Sequence[bool]], side: str = "right", fill: int = 0) -> Tensor:
    """Rows as one tensor [R, L]; bool rows stay bool."""
    kind = torch.bool if rows and len(rows[0]) and isinstance(rows[0][0], bool) else torch.long
    out = torch.full((len(rows), max((len(row) for row in rows), default=0)), fill, dtype=kind)
    for number, row in enumerate(rows):
        values = torch.tensor(row, dtype=kind)
        if side == "right":
            out[number, : len(row)] = values
        else:
            out[number, out.shape[1] - len(row) :] = values
    return out


def pad_mask(lengths: Sequence[int], side: str = "right") -> Tensor:
    """True where a row of that length has a token, [R, L]."""
    return pad([[1] * length for length in lengths], side).bool()
