"""The fast path: prefixes run once, and image features come from the cache."""

from collections.abc import Callable, Sequence

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
from lightning_c3l.lvlm.huggingface.batching import TokenIds, pad, pad_mask
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.conversations import images_of, require_supervised
from lightning_c3l.lvlm.huggingface.forward import Decoder, PromptRows, prompt_rows
from lightning_c3l.lvlm.huggingface.generation import Generator
from lightning_c3l.lvlm.huggingface.groups import (
    GroupRow,
    RowList,
    blind_rows,
    group_rows,
    require_text,
    split_prefixes,
)
from lightning_c3l.lvlm.huggingface.hidden_layers import layer_at
from lightning_c3l.lvlm.huggingface.images import EncodedImage, ImageTokens, grid_of
from lightning_c3l.lvlm.huggingface.model_path import GroupForward, ModelPath
from lightning_c3l.lvlm.huggingface.packing import predicting_states, target_logp
from lightning_c3l.lvlm.huggingface.plain_generation import PlainGenerator
from lightning_c3l.lvlm.huggingface.serving import encoded_answer_ids, encoded_prompt_ids
from lightning_c3l.lvlm.samples import GroupSample, TuningSample
from lightning_c3l.records import Turn

# prefixes without image are shared if that saves this share of the remaining tokens
_WORTH_SHARING = 0.15


class FastPath(ModelPath):
    """Rows that are encoded here, with the prefixes of several rows run once.

    Args:
        decoder: the model.
        encoder: its chat encoder.
    """

    caches_images = True

    def __init__(self, decoder: Decoder, encoder: ChatEncoder) -> None:
        self.decoder, self.encoder = decoder, encoder

    @property
    def image_token(self) -> int:
        """The token that stands for a piece of an image."""
        return self.encoder.images.token

    @property
    def vocab_size(self) -> int:
        """Number V of logits."""
        return int(self.decoder.text.vocab_size)

    def logits(self, states: Tensor) -> Tensor:
        """Next-token logits in float32, [M, V]."""
        return self.decoder.logits(states)

    def answer_states(
        self, chats: Sequence[Chats], images: Sequence[Images] | None
    ) -> tuple[Tensor, Tensor, list[int]]:
        """Hidden states [M, H] that predict the M answer tokens, these tokens [M], and the length of each answer."""
        encoded = None if images is None else self._encode(images)
        whole = RowList()
        for owner, own in enumerate(chats):
            tokens = None if encoded is None else [one.tokens for one in encoded[owner]]
            for k, chat in enumerate(own):
                whole.add(self.encoder.encode(chat, tokens), owner, k)
        lengths = [length for chat in whole.chats for length in chat.answer_lengths]
        can_share = len(whole.chats) > len(chats) and self._can_share(whole)
        shared = self._run_shared(whole, encoded) if can_share else None
        if shared is not None:
            rows, hidden = shared
        else:
            rows = whole.tensors([0] * len(whole.chats)).to(self.decoder.model.device)
            features = [] if encoded is None else [one for owner in whole.owner for one in encoded[owner]]
            hidden, _ = self.decoder.run_rows(prompt_rows(rows.ids, rows.mask, features))
        return predicting_states(hidden, rows.text), rows.ids[rows.text], lengths

    def _encode(self, images: Sequence[Images]) -> list[list[EncodedImage]]:
        """The images of each context after the vision tower."""
        for own in images:
            self.encoder.images.require_independent(own)
        flat = [image for own in images for image in own]
        encoded = iter(self.encoder.images.encode_features(self.decoder.model, flat))
        return [[next(encoded) for _ in own] for own in images]

    def _can_share(self, rows: RowList) -> bool:
        """Whether the rows of each context are equal up to its last image, with no answer before that."""
        prefixes, image = dict[int, tuple[int, ...]](), self.encoder.images.token
        for chat, owner in zip(rows.chats, rows.owner, strict=True):
            stop = max((index + 1 for index, token in enumerate(chat.ids) if token == image), default=0)
            # one token of the prompt stays in the suffix: it predicts the answer
            is_before = True not in chat.answer or stop < chat.answer.index(True)
            if not is_before or prefixes.setdefault(owner, chat.ids[:stop]) != chat.ids[:stop]:
                return False
        return True

    def _run_shared(
        self, rows: RowList, images: Sequence[Sequence[EncodedImage]] | None
    ) -> tuple[TokenRows, Tensor] | None:
        """Suffixes behind their common prefixes, and their hidden states; None if sharing does not pay."""
        device = self.decoder.model.device
        ids, mask, suffixes = split_prefixes(self.encoder, rows, max(rows.owner) + 1)
        ids, mask, suffixes = ids.to(device), mask.to(device), suffixes.to(device)
        if images is None:
            # the saved tokens have to make up for attention over all suffixes
            saved = mask.sum(1)[suffixes.owner].sum() - mask.sum()
            if not bool(saved > _WORTH_SHARING * suffixes.mask.sum()):
                return None
        prefixes = prompt_rows(ids, mask, [] if images is None else [one for own in images for one in own])
        # without images the prefix is a few sentences: one pass is cheaper than two
        _, hidden = self.decoder.run_shared(prefixes, suffixes, joined=images is None)
        return suffixes, hidden

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int,
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[TokenIds]], object] = lambda _, __: None,
    ) -> list[list[TokenIds]]:
        """Tokens of completions; see `TextGenerator.generate`."""
        ends, encoder = self.encoder.end_of_turn_ids(), self.encoder
        if self.decoder.copies:
            model = self.decoder.model
            plain = PlainGenerator(model, encoder, sampling, ends, True, progress, finished)
            return plain.generate(requests, batch_size)
        return Generator(self.decoder, encoder, sampling, ends, progress, finished).generate(requests, batch_size)

    def prompt_ids(self, requests: Sequence[GenerationRequest]) -> list[TokenIds]:
        """Token row of each prompt that `generate` completes."""
        return encoded_prompt_ids(self.encoder, requests)

    def answer_ids(self, image: Image | None, turns: Sequence[Turn]) -> tuple[TokenIds, tuple[bool, ...]]:
        """Token row of a conversation up to the end of its last answer, and which tokens are this answer's."""
        return encoded_answer_ids(self.encoder, image, turns)

    def unsupported_images(self, images: Sequence[Image]) -> list[str]:
        """Error message per image, '' if it is accepted; features are computed here if they are cached."""
        return self.encoder.images.unsupported(self.decoder.model, images, self.encoder.context)

    def encode_groups(
        self,
        samples: Sequence[GroupSample],
        anchor: Anchor,
        context: Context,
        extras: GroupExtras = GroupExtras(),  # noqa: B008  # frozen
    ) -> GroupBatch:
        """Encode every row that the losses need, split into the prefix of its group and a suffix."""
        images, pixels = self.encoder.images.encode([sample.image for sample in samples])
        with_image, without_image = group_rows(samples, anchor, context, extras)
        ids, mask, suffixes = split_prefixes(self.encoder, self._encoded(with_image, images), len(samples))
        alone, blind = (
            self._encoded(rows, None).tensors([0] * len(rows)) if rows else None
            for rows in (without_image, blind_rows(with_image, extras))
        )
        require_text(suffixes, alone)
        prefixes = {"input_ids": ids, "attention_mask": mask, **pixels}
        return GroupBatch(prefixes, suffixes, alone, torch.tensor([sample.weight for sample in samples]), blind)

    def _encoded(self, rows: Sequence[GroupRow], images: Sequence[ImageTokens] | None) -> RowList:
        out = RowList()
        for row in rows:
            chat = self.encoder.encode(row.turns, None if images is None else images[row.owner])
            out.add(chat, row.owner, row.role, row.target)
        return out

    def run_groups(self, batch: GroupBatch, extras: GroupExtras = GroupExtras()) -> GroupForward:  # noqa: B008
        """One forward in which the texts of a group share its image."""
        suffixes, alone, prefixes, decoder = batch.suffixes, batch.without_image, self.prefixes(batch), self.decoder
        if (layer := layer_at(decoder.model, extras.depth)) is not None:
            decoder = Decoder(decoder.model, decoder.images, decoder.head, decoder.blocks, decoder.copies, layer)
        prefix, hidden = decoder.run_shared(prefixes, suffixes)
        without = None if alone is None else decoder.run_rows(PromptRows(alone.ids, alone.mask, None, {}))[0]
        last, logits = decoder.last(hidden), None
        if extras.answer_logits:
            logits = decoder.logits(predicting_states(last, suffixes.target))
            logp = target_logp(logits, suffixes.ids, suffixes.target)
        else:
            logp = decoder.token_logp(last, suffixes.ids, suffixes.target)
        return GroupForward(
            decoder.read(prefix),
            prefixes.mask,
            decoder.read(hidden),
            logp,
            None if without is None else decoder.read(without),
            logits,
        )

    def blind_logp(self, rows: TokenRows) -> Tensor:
        """Log-probabilities of the targets of whole rows without image, [R, L], 0 elsewhere; with gradients."""
        hidden, _ = self.decoder.run_rows(PromptRows(rows.ids, rows.mask, None, {}))
        return self.decoder.token_logp(hidden, rows.ids, rows.target)

    def prefixes(self, batch: GroupBatch) -> PromptRows:
        """The prefixes of a batch of groups, with the features of their images."""
        pixels = dict(batch.prefixes)
        ids, mask = pixels.pop("input_ids"), pixels.pop("attention_mask")
        return PromptRows(ids, mask, self.decoder.features(pixels), grid_of(pixels))

    def encode_conversations(self, samples: Sequence[TuningSample]) -> ConversationBatch:
        """Encode a batch of records."""
        by_record = images_of(samples)
        for own in by_record:
            self.encoder.images.require_independent(own)
        images = [image for own in by_record for image in own]
        tokens, pixels = self.encoder.images.encode(images) if images else ([], {})
        waiting, chats = iter(tokens), []
        for sample, own in zip(samples, by_record, strict=True):
            try:
                chat = self.encoder.encode(sample[0].turns, [next(waiting) for _ in own])
            except ConversationError as error:
                raise ConversationError(f"record {sample[0].id}: {error}") from error
            require_supervised(sample, chat.answer)
            chats.append(chat)
        return ConversationBatch(
            ids=pad([chat.ids for chat in chats]),
            mask=pad_mask([len(chat.ids) for chat in chats]),
            target=pad([chat.target for chat in chats]),
            pixels=pixels,
            weight=torch.tensor([conversation.weight for conversation, _ in samples]),
        )

    def conversation_logp(self, batch: ConversationBatch) -> Tensor:
        """Log-probabilities of the target tokens, [B, L], 0 elsewhere; with gradients."""
        features = self.decoder.features(batch.pixels) if batch.pixels else None
        hidden, _ = self.decoder.run_rows(PromptRows(batch.ids, batch.mask, features, grid_of(batch.pixels)))
        return self.decoder.token_logp(hidden, batch.ids, batch.target)
