"""Groups of candidates as training batches: their rows, and what the losses read from one forward over them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_c3l.lvlm.base import DESCRIBE, Anchor, Context, GroupExtras, LVLMError
from lightning_c3l.lvlm.batches import ROLE_ANCHOR, ROLE_ANSWER, GroupBatch, GroupLogp, GroupStates, TokenRows
from lightning_c3l.lvlm.huggingface.batching import common_prefix, pad, pad_mask
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder, EncodedChat
from lightning_c3l.lvlm.huggingface.model_path import GroupForward, ModelPath
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.records import Turn


@dataclass(frozen=True)
class GroupRow:
    """A conversation of a group.

    Attributes:
        turns: the conversation.
        owner: index of its group.
        role: see `TokenRows`.
        target: whether the likelihood of its text is computed.
    """

    turns: tuple[Turn, ...]
    owner: int
    role: int
    target: bool = False


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


def group_rows(
    samples: Sequence[GroupSample], anchor: Anchor, context: Context, extras: GroupExtras
) -> tuple[list[GroupRow], list[GroupRow]]:
    """Conversations that the losses need, with the group's image and without; see `TrainableLVLM.encode_groups`."""
    with_image, without_image = list[GroupRow](), list[GroupRow]()
    for number, sample in enumerate(samples):
        instruction = Turn("user", sample.instruction)
        for k, text in enumerate(sample.texts):
            turns = (instruction, Turn("assistant", text))
            if k == 0 or context == "image":
                with_image.append(GroupRow(turns, number, k, target=k == 0 or extras.negatives))
            if context == "text":
                without_image.append(GroupRow(turns, number, k))
        answering = (Turn("user", sample.question), Turn("assistant", sample.answer))
        with_image.append(GroupRow(answering, number, ROLE_ANSWER, target=True))
        if anchor == "description":
            describing = (Turn("user", DESCRIBE), Turn("assistant", sample.description or sample.answer))
            with_image.append(GroupRow(describing, number, ROLE_ANCHOR))
        if anchor == "instruction":
            without_image.append(GroupRow((instruction,), number, ROLE_ANCHOR))
    return with_image, without_image


def blind_rows(rows: Sequence[GroupRow], extras: GroupExtras) -> list[GroupRow]:
    """The rows whose likelihood is computed, if it is needed without image too."""
    return [row for row in rows if row.target] if extras.blind else []


def require_text(suffixes: TokenRows, alone: TokenRows | None) -> None:
    """Raise an LVLMError if a row has no text: it would learn from its end-of-turn token alone, without any sign."""
    texts = [suffixes.text] if alone is None else [suffixes.text, alone.text[alone.role != ROLE_ANCHOR]]
    if not all(bool(text.any(dim=1).all()) for text in texts):
        raise LVLMError("a training sample has no supervised token: its text is empty after tokenising")


def group_states(
    path: ModelPath, batch: GroupBatch, anchor: Anchor, context: Context, extras: GroupExtras
) -> GroupStates:
    """One forward over a batch of groups; see `TrainableLVLM.group_states`."""
    suffixes, alone = batch.suffixes, batch.without_image
    forward = path.run_groups(batch, extras)
    hidden, logp = forward.hidden, forward.logp
    positive, answer = suffixes.role == 0, suffixes.role == ROLE_ANSWER
    anchor_hidden, anchor_mask = _anchor(path.image_token, batch, forward, anchor)
    source, states = suffixes, hidden
    if context == "text" and alone is not None and forward.without_image is not None:
        source, states, candidate_logp = alone, forward.without_image, logp.new_zeros(alone.target.shape)
    else:
        candidate_logp = logp
    rows = source.role >= 0
    answer_logits = None
    if forward.logits is not None:
        answer_logits = forward.logits[answer[suffixes.target.nonzero()[:, 0]]]
    return GroupStates(
        positive_logp=logp[positive],
        positive_mask=suffixes.target[positive],
        answer_logp=logp[answer],
        answer_mask=suffixes.target[answer],
        anchor=anchor_hidden,
        anchor_mask=anchor_mask,
        candidates=states[rows],
        candidate_mask=source.text[rows],
        owner=source.owner[rows],
        role=source.role[rows],
        candidate_ids=source.ids[rows],
        candidate_logp=candidate_logp[rows],
        candidate_target=source.target[rows],
        answer_logits=answer_logits,
    )


def _anchor(image_token: int, batch: GroupBatch, forward: GroupForward, anchor: Anchor) -> tuple[Tensor, Tensor]:
    """Hidden states that the anchor is pooled from, [G, La, H], and which of them count, [G, La]."""
    suffixes, alone, alone_hidden = batch.suffixes, batch.without_image, forward.without_image
    if anchor == "description":
        rows = suffixes.role == ROLE_ANCHOR
        return forward.hidden[rows], suffixes.text[rows]
    if anchor == "instruction":
        if alone is None or alone_hidden is None:
            raise LVLMError("the batch was encoded for another anchor option")
        rows = alone.role == ROLE_ANCHOR
        return alone_hidden[rows], alone.mask[rows]
    rows = suffixes.role == 0
    mask, before = forward.prefix_mask, (suffixes.mask & (suffixes.text.long().cumsum(1) == 0))[rows]
    if anchor == "image":
        # rows that are not split have no prefix
        prefix_ids = batch.prefixes.get("input_ids", mask)
        mask, before = mask & (prefix_ids == image_token), before & (suffixes.ids[rows] == image_token)
        if not bool(torch.cat([mask, before], dim=1).any(dim=1).all()):
            raise LVLMError("loss.anchor: this model's prompts hold no image tokens to pool: set another anchor")
    return torch.cat([forward.prefix, forward.hidden[rows]], dim=1), torch.cat([mask, before], dim=1)


def blind_logp(path: ModelPath, batch: GroupBatch) -> GroupLogp:
    """Log-probabilities without the image, in the places of those with it; see `TrainableLVLM.blind_logp`."""
    suffixes, blind = batch.suffixes, batch.blind
    if blind is None:
        raise LVLMError("the batch was encoded without its texts alone")
    target = suffixes.target
    is_alike = torch.equal(target.sum(1)[target.any(1)], blind.target.sum(1))
    if not (is_alike and torch.equal(suffixes.ids[target], blind.ids[blind.target])):
        raise LVLMError("a text has other tokens without its image, so what its tokens owe to it cannot be told")
    logq = path.blind_logp(blind)[blind.target]
    logp = torch.zeros(target.shape, dtype=logq.dtype, device=logq.device).masked_scatter(target, logq)
    return GroupLogp(logp[suffixes.role == 0], logp[suffixes.role == ROLE_ANSWER], logp[suffixes.role >= 0])
