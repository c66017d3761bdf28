"""Groups of candidates as training batches: their rows, and what the losses read from one forward over them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_c3l.lvlm.base import DESCRIBE, Anchor, Context, LVLMError
from lightning_c3l.lvlm.batches import ROLE_ANCHOR, ROLE_ANSWER, GroupBatch, GroupStates, TokenRows
from lightning_c3l.lvlm.huggingface.batching import common_prefix, pad, pad_mask
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder, EncodedChat
from lightning_c3l.lvlm.huggingface.model_path import ModelPath
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
    samples: Sequence[GroupSample], anchor: Anchor, context: Context
) -> tuple[list[GroupRow], list[GroupRow]]:
    """Conversations that the losses need, with the group's image and without; see `TrainableLVLM.encode_groups`."""
    with_image, without_image = list[GroupRow](), list[GroupRow]()
    for number, sample in enumerate(samples):
        instruction = Turn("user", sample.instruction)
        for k, text in enumerate(sample.texts):
            turns = (instruction, Turn("assistant", text))
            if k == 0 or context == "image":
                with_image.append(GroupRow(turns, number, k, target=k == 0))
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


def require_text(suffixes: TokenRows, alone: TokenRows | None) -> None:
    """Raise an LVLMError if a row has no text: it would learn from its end-of-turn token alone, without any sign."""
    texts = [suffixes.text] if alone is None else [suffixes.text, alone.text[alone.role != ROLE_ANCHOR]]
    if not all(bool(text.any(dim=1).all()) for text in texts):
        raise LVLMError("a training sample has no supervised token: its text is empty after tokenising")


def group_states(path: ModelPath, batch: GroupBatch, anchor: Anchor, context: Context) -> GroupStates:
    """One forward over a batch of groups; see `TrainableLVLM.group_states`."""
    suffixes, alone = batch.suffixes, batch.without_image
    forward = path.run_groups(batch)
    hidden, logp, alone_hidden = forward.hidden, forward.logp, forward.without_image
    positive, answer = suffixes.role == 0, suffixes.role == ROLE_ANSWER
    if anchor == "prompt":
        before = (suffixes.mask & (suffixes.text.long().cumsum(1) == 0))[positive]
        anchor_hidden = torch.cat([forward.prefix, hidden[positive]], dim=1)
        anchor_mask = torch.cat([forward.prefix_mask, before], dim=1)
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
