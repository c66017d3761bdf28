"""Groups of candidates as one shared forward: encode them, run them, hand the losses what they need."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_c3l.lvlm.base import DESCRIBE, Anchor, Context, LVLMError
from lightning_c3l.lvlm.batches import ROLE_ANCHOR, ROLE_ANSWER, Branches, GroupBatch, GroupStates
from lightning_c3l.lvlm.huggingface.batching import common_prefix, pad, pad_mask
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder, EncodedChat
from lightning_c3l.lvlm.huggingface.forward import Decoder, Prompts
from lightning_c3l.lvlm.huggingface.images import grid_of
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.records import Turn


@dataclass
class BranchList:
    """Rows being collected for one `Branches`."""

    chats: list[EncodedChat] = field(default_factory=list)
    owner: list[int] = field(default_factory=list)
    target: list[bool] = field(default_factory=list)
    role: list[int] = field(default_factory=list)

    def add(self, chat: EncodedChat, owner: int, role: int, target: bool = False) -> None:
        """Add a row; `target` rows count for the likelihood."""
        self.chats.append(chat)
        self.owner.append(owner)
        self.role.append(role)
        self.target.append(target)

    def tensors(self, skip: Sequence[int]) -> Branches:
        """As padded rows, each without its first `skip` tokens (those of its trunk)."""
        rows = [chat.ids[n:] for chat, n in zip(self.chats, skip, strict=True)]
        off = [(False,) * len(row) for row in rows]
        target = [c.target[n:] if t else o for c, n, t, o in zip(self.chats, skip, self.target, off, strict=True)]
        return Branches(
            ids=pad(rows),
            mask=pad_mask([len(row) for row in rows]),
            owner=torch.tensor(self.owner),
            target=pad(target),
            text=pad([chat.answer[n:] for chat, n in zip(self.chats, skip, strict=True)]),
            role=torch.tensor(self.role),
        )


def split_trunks(encoder: ChatEncoder, rows: BranchList, count: int) -> tuple[Tensor, Tensor, Branches]:
    """Split rows into trunks (what all rows of an owner begin with, its image among it) and branches.

    Returns:
        Tokens of the trunks [G, P], their mask [G, P], and the branches.

    Raises:
        LVLMError: if a chat template puts differing text before the image.
    """
    trunks = list[tuple[int, ...]]()
    for number in range(count):
        own = [chat for chat, owner in zip(rows.chats, rows.owner, strict=True) if owner == number]
        # one token of the prompt stays with the branch: it predicts the first token of the text
        limit = min(chat.answer.index(True) if True in chat.answer else len(chat.ids) for chat in own) - 1
        length = common_prefix([chat.ids for chat in own], limit)
        if encoder.images.token in own[0].ids[length:]:
            raise LVLMError(f"{encoder.name}: the chat template writes differing text before the image")
        trunks.append(own[0].ids[:length])
    lengths = [len(trunk) for trunk in trunks]
    return pad(trunks), pad_mask(lengths), rows.tensors([lengths[owner] for owner in rows.owner])


def encode_groups(encoder: ChatEncoder, samples: Sequence[GroupSample], anchor: Anchor, context: Context) -> GroupBatch:
    """Every row that the losses need, the image's part of each shared.

    Raises:
        LVLMError: if a text has no token.
    """
    images, pixels = encoder.images.encode([sample.image for sample in samples])
    seen, blind = BranchList(), BranchList()
    for number, (sample, image) in enumerate(zip(samples, images, strict=True)):
        for k, text in enumerate(sample.texts):
            turns = (Turn("user", sample.instruction), Turn("assistant", text))
            if k == 0 or context == "image":
                seen.add(encoder.encode(turns, image), number, k, target=k == 0)
            if context == "text":
                blind.add(encoder.encode(turns), number, k)
        answering = (Turn("user", sample.question), Turn("assistant", sample.answer))
        seen.add(encoder.encode(answering, image), number, ROLE_ANSWER, target=True)
        if anchor == "description":
            describing = (Turn("user", DESCRIBE), Turn("assistant", sample.description or sample.answer))
            seen.add(encoder.encode(describing, image), number, ROLE_ANCHOR)
        if anchor == "instruction":
            blind.add(encoder.encode((Turn("user", sample.instruction),)), number, ROLE_ANCHOR)
    ids, mask, branches = split_trunks(encoder, seen, len(samples))
    alone = blind.tensors([0] * len(blind.chats)) if blind.chats else None
    _require_texts(branches.text)
    if alone is not None:
        _require_texts(alone.text[alone.role != ROLE_ANCHOR])
    trunk = {"input_ids": ids, "attention_mask": mask, **pixels}
    return GroupBatch(trunk, branches, alone, torch.tensor([sample.weight for sample in samples]))


def _require_texts(text: Tensor) -> None:
    """The usual silent failure, made loud: a row with nothing to learn from but its end of turn."""
    if not bool(text.any(dim=1).all()):
        raise LVLMError("a training sample has no supervised token: its text is empty after tokenising")


def group_states(decoder: Decoder, batch: GroupBatch, anchor: Anchor, context: Context) -> GroupStates:
    """One forward over a batch of groups."""
    branches, blind = batch.branches, batch.blind
    pixels = dict(batch.trunk)
    ids, mask = pixels.pop("input_ids"), pixels.pop("attention_mask")
    trunk = Prompts(ids, mask, decoder.features(pixels), grid_of(pixels))
    trunk_hidden, hidden = decoder.shared(trunk, branches)
    logp = decoder.token_logp(hidden, branches.ids, branches.target)
    blind_hidden = None if blind is None else decoder.whole_rows(Prompts(blind.ids, blind.mask, None, {}))[0]
    write, answer = branches.role == 0, branches.role == ROLE_ANSWER
    if anchor == "prompt":
        before = (branches.mask & (branches.text.long().cumsum(1) == 0))[write]
        anchor_hidden = torch.cat([trunk_hidden, hidden[write]], dim=1)
        anchor_mask = torch.cat([mask, before], dim=1)
    elif anchor == "description":
        rows = branches.role == ROLE_ANCHOR
        anchor_hidden, anchor_mask = hidden[rows], branches.text[rows]
    else:
        if blind is None or blind_hidden is None:
            raise LVLMError("the batch was encoded for another anchor option")
        rows = blind.role == ROLE_ANCHOR
        anchor_hidden, anchor_mask = blind_hidden[rows], blind.mask[rows]
    source, states = (branches, hidden) if context == "image" or blind is None else (blind, blind_hidden)
    rows = source.role >= 0
    return GroupStates(
        write_logp=logp[write],
        write_mask=branches.target[write],
        answer_logp=logp[answer],
        answer_mask=branches.target[answer],
        anchor=anchor_hidden,
        anchor_mask=anchor_mask,
        candidates=states[rows] if states is not None else hidden[rows],
        candidate_mask=source.text[rows],
        owner=source.owner[rows],
        role=source.role[rows],
    )
