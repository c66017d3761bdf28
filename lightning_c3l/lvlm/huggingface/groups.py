"""Groups of candidates as training batches: encoding, and one forward in which the texts of a group share its image."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_c3l.lvlm.base import DESCRIBE, Anchor, Context, LVLMError
from lightning_c3l.lvlm.batches import ROLE_ANCHOR, ROLE_ANSWER, GroupBatch, GroupStates, TokenRows
from lightning_c3l.lvlm.huggingface.batching import common_prefix, pad, pad_mask
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder, EncodedChat
from lightning_c3l.lvlm.huggingface.forward import Decoder, PromptRows
from lightning_c3l.lvlm.huggingface.images import grid_of
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.records import Turn


@dataclass
class RowList:
    """Encoded chats that become one `TokenRows`."""

    chats: list[EncodedChat] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    target: list[bool] = field(default_factory=list)
    role: list[int] = field(default_factory=list)

    def add(self, chat: EncodedChat, owner: int, role: int, target: bool = False) -> None:
        """Add a row; the likelihood of its text is computed if it is a `target`."""
        self.chats.append(chat)
        self.owner.append(owner)
        self.role.append(role)
        self.target.append(target)

    def tensors(self, skip: Sequence[int]) -> TokenRows:
        """Padded rows, each without its first `skip` tokens (those of its prefix)."""
        rows = [chat.ids[n:] for chat, n in zip(self.chats, skip, strict=True)]
        off = [(False,) * len(row) for row in rows]
        target = [c.target[n:] if t else o for c, n, t, o in zip(self.chats, skip, self.target, off, strict=True)]
        return TokenRows(
            ids=pad(rows),
            mask=pad_mask([len(row) for row in rows]),
            owner=torch.tensor(self.owner),
            target=pad(target),
            text=pad([chat.answer[n:] for chat, n in zip(self.chats, skip, strict=True)]),
            role=torch.tensor(self.role),
        )


def split_prefixes(encoder: ChatEncoder, rows: RowList, count: int) -> tuple[Tensor, Tensor, TokenRows]:
    """Split rows into the common prefix of each owner's rows, which holds its image, and suffixes.

    Args:
        encoder: knows the image token.
        rows: whole rows.
        count: number G of owners.

    Returns:
        Tokens of the prefixes [G, P], their mask [G, P], and the suffixes.

    Raises:
        LVLMError: if the rows of an owner differ before its image.
    """
    prefixes = list[tuple[int, ...]]()
    for number in range(count):
        own = [chat for chat, owner in zip(rows.chats, rows.owner, strict=True) if owner == number]
        # one token of the prompt stays in the suffix: it predicts the first token of the text
        limit = min(chat.answer.index(True) if True in chat.answer else len(chat.ids) for chat in own) - 1
        length = common_prefix([chat.ids for chat in own], limit)
        if encoder.images.token in own[0].ids[length:]:
            raise LVLMError(f"{encoder.name}: the chat template puts text before the image that differs within a group")
        prefixes.append(own[0].ids[:length])
    lengths = [len(prefix) for prefix in prefixes]
    return pad(prefixes), pad_mask(lengths), rows.tensors([lengths[owner] for owner in rows.owner])


def encode_groups(encoder: ChatEncoder, samples: Sequence[GroupSample], anchor: Anchor, context: Context) -> GroupBatch:
    """Encode every row that the losses need; see `TrainableLVLM.encode_groups`."""
    images, pixels = encoder.images.encode([sample.image for sample in samples])
    with_image, without_image = RowList(), RowList()
    for number, (sample, image) in enumerate(zip(samples, images, strict=True)):
        for k, text in enumerate(sample.texts):
            turns = (Turn("user", sample.instruction), Turn("assistant", text))
            if k == 0 or context == "image":
                with_image.add(encoder.encode(turns, image), number, k, target=k == 0)
            if context == "text":
                without_image.add(encoder.encode(turns), number, k)
        answering = (Turn("user", sample.question), Turn("assistant", sample.answer))
        with_image.add(encoder.encode(answering, image), number, ROLE_ANSWER, target=True)
        if anchor == "description":
            describing = (Turn("user", DESCRIBE), Turn("assistant", sample.description or sample.answer))
            with_image.add(encoder.encode(describing, image), number, ROLE_ANCHOR)
        if anchor == "instruction":
            without_image.add(encoder.encode((Turn("user", sample.instruction),)), number, ROLE_ANCHOR)
    ids, mask, suffixes = split_prefixes(encoder, with_image, len(samples))
    alone = without_image.tensors([0] * len(without_image.chats)) if without_image.chats else None
    texts = [suffixes.text] if alone is None else [suffixes.text, alone.text[alone.role != ROLE_ANCHOR]]
    # otherwise silent: a row without text has nothing to learn from but its end-of-turn token
    if not all(bool(text.any(dim=1).all()) for text in texts):
        raise LVLMError("a training sample has no supervised token: its text is empty after tokenising")
    prefixes = {"input_ids": ids, "attention_mask": mask, **pixels}
    return GroupBatch(prefixes, suffixes, alone, torch.tensor([sample.weight for sample in samples]))


def group_states(decoder: Decoder, batch: GroupBatch, anchor: Anchor, context: Context) -> GroupStates:
    """One forward over a batch of groups; see `TrainableLVLM.group_states`."""
    suffixes, alone = batch.suffixes, batch.without_image
    pixels = dict(batch.prefixes)
    ids, mask = pixels.pop("input_ids"), pixels.pop("attention_mask")
    prefixes = PromptRows(ids, mask, decoder.features(pixels), grid_of(pixels))
    prefix_hidden, hidden = decoder.run_shared(prefixes, suffixes)
    logp = decoder.token_logp(hidden, suffixes.ids, suffixes.target)
    alone_hidden = None if alone is None else decoder.run_rows(PromptRows(alone.ids, alone.mask, None, {}))[0]
    positive, answer = suffixes.role == 0, suffixes.role == ROLE_ANSWER
    if anchor == "prompt":
        before = (suffixes.mask & (suffixes.text.long().cumsum(1) == 0))[positive]
        anchor_hidden = torch.cat([prefix_hidden, hidden[positive]], dim=1)
        anchor_mask = torch.cat([mask, before], dim=1)
    elif anchor == "description":
        rows = suffixes.role == ROLE_ANCHOR
        anchor_hidden, anchor_mask = hidden[rows], suffixes.text[rows]
    else:
        if alone is None or alone_hidden is None:
            raise LVLMError("the batch was encoded for another anchor option")
        rows = alone.role == ROLE_ANCHOR
        anchor_hidden, anchor_mask = alone_hidden[rows], alone.mask[rows]
    source, states = (suffixes, hidden) if context == "image" or alone is None else (alone, alone_hidden)
    rows = source.role >= 0
    return GroupStates(
        positive_logp=logp[positive],
        positive_mask=suffixes.target[positive],
        answer_logp=logp[answer],
        answer_mask=suffixes.target[answer],
        anchor=anchor_hidden,
        anchor_mask=anchor_mask,
        candidates=states[rows] if states is not None else hidden[rows],
        candidate_mask=source.text[rows],
        owner=source.owner[rows],
        role=source.role[rows],
    )
