"""VLIT records as training batches, with the loss on the assistant's turns only."""

from collections.abc import Sequence

import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import ConversationError
from lightning_c3l.lvlm.batches import ConversationBatch
from lightning_c3l.lvlm.huggingface.batching import pad, pad_mask
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.forward import Decoder, PromptRows
from lightning_c3l.lvlm.huggingface.images import grid_of
from lightning_c3l.lvlm.samples import TuningSample


def encode_conversations(encoder: ChatEncoder, samples: Sequence[TuningSample]) -> ConversationBatch:
    """Encode a batch of records; see `TrainableLVLM.encode_conversations`."""
    by_record = [(one,) if isinstance(one, Image) else one or () for _, one in samples]
    for own in by_record:
        encoder.images.require_independent(own)
    images = [image for own in by_record for image in own]
    tokens, pixels = encoder.images.encode(images) if images else ([], {})
    waiting = iter(tokens)
    chats = []
    for (conversation, _), own in zip(samples, by_record, strict=True):
        try:
            chat = encoder.encode(conversation.turns, [next(waiting) for _ in own])
        except ConversationError as error:
            raise ConversationError(f"record {conversation.id}: {error}") from error
        if not any(chat.answer):  # `target` alone would count the end of an empty turn
            raise ConversationError(f"record {conversation.id}: no supervised token (no assistant turn with text)")
        chats.append(chat)
    return ConversationBatch(
        ids=pad([chat.ids for chat in chats]),
        mask=pad_mask([len(chat.ids) for chat in chats]),
        target=pad([chat.target for chat in chats]),
        pixels=pixels,
        weight=torch.tensor([conversation.weight for conversation, _ in samples]),
    )


def conversation_logp(decoder: Decoder, batch: ConversationBatch) -> Tensor:
    """Log-probabilities of the target tokens, [B, L], 0 elsewhere; with gradients."""
    features = decoder.features(batch.pixels) if batch.pixels else None
    hidden, _ = decoder.run_rows(PromptRows(batch.ids, batch.mask, features, grid_of(batch.pixels)))
    return decoder.token_logp(hidden, batch.ids, batch.target)
