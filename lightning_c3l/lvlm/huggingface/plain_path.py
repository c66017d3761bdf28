"""The plain path: the model's own processor, forward and `generate`, and nothing else."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import (
    Anchor,
    Chats,
    Context,
    ConversationError,
    GenerationRequest,
    GroupExtras,
    Images,
    Sampling,
)
from lightning_c3l.lvlm.batches import ConversationBatch, GroupBatch, TokenRows
from lightning_c3l.lvlm.huggingface.batching import TokenIds
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.conversations import images_of, require_supervised
from lightning_c3l.lvlm.huggingface.groups import GroupRow, blind_rows, group_rows, require_text
from lightning_c3l.lvlm.huggingface.hidden_layers import layer_at
from lightning_c3l.lvlm.huggingface.model_path import GroupForward, ModelPath
from lightning_c3l.lvlm.huggingface.packing import target_logp
from lightning_c3l.lvlm.huggingface.plain_generation import PlainGenerator
from lightning_c3l.lvlm.huggingface.plain_rows import encode_rows, forward_rows, unsupported_images
from lightning_c3l.lvlm.huggingface.serving import plain_answer_ids, plain_prompt_ids
from lightning_c3l.lvlm.samples import GroupSample, TuningSample
from lightning_c3l.records import Turn

# rows at once in training, where the batch size of the datamodule is the limit
_ALL = 1 << 30


class PlainPath(ModelPath):
    """Rows as the processor encodes them; each runs as a whole.

    Args:
        model: the transformers model.
        encoder: its chat encoder.
        one_by_one: one row at a time, for models whose results depend on what else is in a batch.
        copies: generate behind copies of each prompt's cache.
    """

    caches_images = False

    def __init__(self, model: Any, encoder: ChatEncoder, one_by_one: bool = False, copies: bool = False) -> None:
        self.model, self.encoder, self.one_by_one, self.copies = model, encoder, one_by_one, copies

    @property
    def image_token(self) -> int:
        """The token that stands for a piece of an image."""
        return self.encoder.images.token

    @property
    def vocab_size(self) -> int:
        """Number V of logits."""
        return int(self.model.config.get_text_config().vocab_size)

    def logits(self, states: Tensor) -> Tensor:
        """The states themselves: what a model does to its logits is its own code."""
        return states

    def answer_states(
        self, chats: Sequence[Chats], images: Sequence[Images] | None
    ) -> tuple[Tensor, Tensor, list[int]]:
        """Logits [M, V] that predict the M answer tokens, these tokens [M], and the length of each answer."""
        by_context = [()] * len(chats) if images is None else images
        conversations = [(chat, own) for own, several in zip(by_context, chats, strict=True) for chat in several]
        # as many rows at once as there are contexts: a batch size counts images
        rows = encode_rows(self.encoder, conversations, 1 if self.one_by_one else max(4, len(chats)))
        answer = rows.answer.to(self.model.device)
        logits, _ = forward_rows(self.model, rows.parts, answer)
        return logits, rows.ids.to(answer.device)[answer], [length for own in rows.lengths for length in own]

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int,
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[TokenIds]], object] = lambda _, __: None,
    ) -> list[list[TokenIds]]:
        """Tokens of completions; see `TextGenerator.generate`."""
        ends = self.encoder.end_of_turn_ids()
        generator = PlainGenerator(self.model, self.encoder, sampling, ends, self.copies, progress, finished)
        return generator.generate(requests, 1 if self.one_by_one else batch_size)

    def prompt_ids(self, requests: Sequence[GenerationRequest]) -> list[TokenIds]:
        """Token row of each prompt that `generate` completes; the processor runs for each of them."""
        return [plain_prompt_ids(self.encoder, request) for request in requests]

    def answer_ids(self, image: Image | None, turns: Sequence[Turn]) -> tuple[TokenIds, tuple[bool, ...]]:
        """Token row of a conversation up to the end of its last answer, and which tokens are this answer's."""
        return plain_answer_ids(self.encoder, image, turns)

    def unsupported_images(self, images: Sequence[Image]) -> list[str]:
        """Error message per image, '' if the processor accepts it and a prompt with it fits into the context."""
        return unsupported_images(self.encoder, images)

    def encode_groups(
        self,
        samples: Sequence[GroupSample],
        anchor: Anchor,
        context: Context,
        extras: GroupExtras = GroupExtras(),  # noqa: B008  # frozen
    ) -> GroupBatch:
        """Encode every row that the losses need."""
        with_image, without_image = group_rows(samples, anchor, context, extras)
        rows = self._token_rows(with_image, samples, True)
        alone, blind = (
            self._token_rows(own, samples, False) if own else None
            for own in (without_image, blind_rows(with_image, extras))
        )
        require_text(rows, alone)
        return GroupBatch({}, rows, alone, torch.tensor([sample.weight for sample in samples]), blind)

    def _token_rows(self, rows: Sequence[GroupRow], samples: Sequence[GroupSample], has_image: bool) -> TokenRows:
        conversations = [(row.turns, (samples[row.owner].image,) if has_image else ()) for row in rows]
        encoded = encode_rows(self.encoder, conversations, 1 if self.one_by_one else _ALL)
        return TokenRows(
            ids=encoded.ids,
            mask=encoded.mask,
            owner=torch.tensor([row.owner for row in rows]),
            target=encoded.target & torch.tensor([row.target for row in rows])[:, None],
            text=encoded.answer,
            role=torch.tensor([row.role for row in rows]),
            parts=encoded.parts,
        )

    def run_groups(self, batch: GroupBatch, extras: GroupExtras = GroupExtras()) -> GroupForward:  # noqa: B008
        """A forward over all rows, and one over those without image."""
        rows, alone, layer = batch.suffixes, batch.without_image, layer_at(self.model, extras.depth)
        logits, hidden = forward_rows(self.model, rows.parts, rows.target, layer)
        without = None
        if alone is not None:
            without = forward_rows(self.model, alone.parts, torch.zeros_like(alone.target), layer)[1]
        groups = len(batch.weights)
        return GroupForward(
            hidden.new_zeros(groups, 0, hidden.shape[-1]),
            torch.zeros(groups, 0, dtype=torch.bool, device=hidden.device),
            hidden,
            target_logp(logits, rows.ids, rows.target),
            without,
            logits if extras.answer_logits else None,
        )

    def blind_logp(self, rows: TokenRows) -> Tensor:
        """Log-probabilities of the targets of whole rows without image, [R, L], 0 elsewhere; with gradients."""
        logits, _ = forward_rows(self.model, rows.parts, rows.target)
        return target_logp(logits, rows.ids, rows.target)

    def encode_conversations(self, samples: Sequence[TuningSample]) -> ConversationBatch:
        """Encode a batch of records."""
        conversations = [(sample[0].turns, own) for sample, own in zip(samples, images_of(samples), strict=True)]
        try:
            rows = encode_rows(self.encoder, conversations, 1 if self.one_by_one else _ALL)
        except ConversationError as error:
            # which one it is, only the records alone can tell
            if len(samples) == 1:
                raise ConversationError(f"record {samples[0][0].id}: {error}") from error
            for sample in samples:
                self.encode_conversations([sample])
            raise
        for sample, answer in zip(samples, rows.answer.tolist(), strict=True):
            require_supervised(sample, answer)
        weight = torch.tensor([conversation.weight for conversation, _ in samples])
        return ConversationBatch(rows.ids, rows.mask, rows.target, {}, weight, rows.parts)

    def conversation_logp(self, batch: ConversationBatch) -> Tensor:
        """Log-probabilities of the target tokens, [B, L], 0 elsewhere; with gradients."""
        logits, _ = forward_rows(self.model, batch.parts, batch.target)
        return target_logp(logits, batch.ids, batch.target)
