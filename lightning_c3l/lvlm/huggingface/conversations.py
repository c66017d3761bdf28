"""VLIT records as training batches: loss on the assistant's turns only."""

from collections.abc import Sequence

import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import ConversationError
from lightning_c3l.lvlm.batches import ConversationBatch
from lightning_c3l.lvlm.huggingface.batching import pad, pad_mask
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.forward import Decoder, Prompts
from lightning_c3l.lvlm.huggingface.images import grid_of
from lightning_c3l.lvlm.samples import TuningSample


def encode_conversations(encoder: ChatEncoder, samples: Sequence[TuningSample]) -> ConversationBatch:
    """Encode a batch of records; rows without image, with one and with several may be mixed.

    Raises:
        ConversationError: if a record has no supervised token, or is too long; the message names it.
        ImageError: if one of its pictures cannot be looked at.
    """
    seen = [_pictures(pictures) for _, pictures in samples]
    for own in seen:
        encoder.images.require_apart(own)
    images = [image for own in seen for image in own]
    tokens, pixels = encoder.images.encode(images) if images else ([], {})
    waiting = iter(tokens)
    chats = []
    for (conversation, _), own in zip(samples, seen, strict=True):
        try:
            chat = encoder.encode(conversation.turns, [next(waiting) for _ in own])
        except ConversationError as error:
            raise ConversationError(f"record {conversation.id}: {error}") from error
        if not any(chat.answer):  # the target alone would count the end of an empty turn
            raise ConversationError(f"record {conversation.id}: no supervised token (no assistant turn with text)")
        chats.append(chat)
    return ConversationBatch(
        ids=pad([chat.ids for chat in chats]),
        mask=pad_mask([len(chat.ids) for chat in chats]),
        target=pad([chat.target for chat in chats]),
        pixels=pixels,
        weight=torch.tensor([conversation.weight for conversation, _ in samples]),
    )


def _pictures(pictures: Image | Sequence[Image] | None) -> Sequence[Image]:
    if pictures is None:
        return ()
    return (pictures,) if isinstance(pictures, Image) else pictures


def conversation_logp(decoder: Decoder, batch: ConversationBatch) -> Tensor:
    """Log-probabilities of the target tokens, [B, L], 0 elsewhere; with gradients."""
    features = decoder.features(batch.pixels) if batch.pixels else None
    hidden, _ = decoder.whole_rows(Prompts(batch.ids, batch.mask, features, grid_of(batch.pixels)))
    return decoder.token_logp(hidden, batch.ids, batch.target)
