"""Teacher-forced token statistics of answers, with the image, without it, and with another one."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_c3l.functional.i2c import log_kl
from lightning_c3l.lvlm.base import AnswerTokens, Chats, Images
from lightning_c3l.lvlm.batches import Branches
from lightning_c3l.lvlm.huggingface.batching import pad_mask
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.forward import Decoder, chosen_logp, predicting_states, prompts_of
from lightning_c3l.lvlm.huggingface.groups import BranchList, split_trunks
from lightning_c3l.lvlm.huggingface.images import Seen

# logits held at once, for each of the two distributions: 16 MB in float32, and no fewer than 16 positions
_LOGITS = 1 << 22
# prompts without image are shared where that leaves out so many tokens, as a share of those that remain
_WORTH_SHARING = 0.15


@torch.no_grad()
def score_answers(
    decoder: Decoder,
    encoder: ChatEncoder,
    images: Sequence[Images],
    chats: Sequence[Chats],
    shuffled: Sequence[Images] | None = None,
) -> AnswerTokens:
    """Statistics of every answer of every conversation; see `AnswerTokens`."""
    seen, tokens, lengths = _states(decoder, encoder, chats, _see(decoder, encoder, images))
    blind, _, _ = _states(decoder, encoder, chats, None)
    logp, logq, kl = _statistics(decoder, seen, blind, tokens)
    other = None
    if shuffled is not None:
        states, _, _ = _states(decoder, encoder, chats, _see(decoder, encoder, shuffled))
        other = _log_probabilities(decoder, states, tokens)
    mask = pad_mask(lengths).to(tokens.device)
    return AnswerTokens(
        logp=_scatter(mask, logp),
        logq=_scatter(mask, logq),
        kl=_scatter(mask, kl),
        mask=mask,
        logp_shuffled=None if other is None else _scatter(mask, other),
    )


@torch.no_grad()
def mean_nll(
    decoder: Decoder, encoder: ChatEncoder, images: Sequence[Images], chats: Sequence[Chats]
) -> list[list[float]]:
    """Of what the assistant says in each conversation, its turns together; see `LVLM.mean_nll`."""
    # nothing but text is a batch without images as a whole, for which another way may be shorter
    seen = _see(decoder, encoder, images) if any(map(len, images)) else None
    states, tokens, lengths = _states(decoder, encoder, chats, seen)
    mask = pad_mask(lengths).to(tokens.device)
    logp = _scatter(mask, _log_probabilities(decoder, states, tokens))
    turns = iter(zip(logp.cpu().double().sum(1).tolist(), lengths, strict=True))
    out = list[list[float]]()
    for own in chats:
        sums = [[next(turns) for turn in chat if turn.role == "assistant"] for chat in own]
        out.append([_mean(said) for said in sums])
    return out


def _mean(said: Sequence[tuple[float, int]]) -> float:
    """Mean over the tokens of all turns, given each turn's sum and number of tokens."""
    count = sum(length for _, length in said)
    return -sum(total for total, _ in said) / count if count else math.nan


def _see(decoder: Decoder, encoder: ChatEncoder, images: Sequence[Images]) -> list[list[Seen]]:
    """The images of each set after the tower."""
    for own in images:
        encoder.images.require_apart(own)
    seen = iter(encoder.images.see(decoder.model, [image for own in images for image in own]))
    return [[next(seen) for _ in own] for own in images]


def _states(
    decoder: Decoder, encoder: ChatEncoder, chats: Sequence[Chats], seen: Sequence[Sequence[Seen]] | None
) -> tuple[Tensor, Tensor, list[int]]:
    """States [M, H] that predict the answers' M tokens, those tokens, and the number of tokens of each answer."""
    rows = _rows(encoder, chats, seen)
    lengths = [length for chat in rows.chats for length in chat.answer_lengths]
    can_share = len(rows.chats) > len(chats) and _begin_alike(encoder, rows)
    behind = _shared(decoder, encoder, rows, seen) if can_share else None
    branches, hidden = behind or _whole(decoder, rows, seen)
    tokens = branches.ids[branches.text]
    return predicting_states(hidden, branches.text), tokens, lengths


def _whole(decoder: Decoder, rows: BranchList, seen: Sequence[Sequence[Seen]] | None) -> tuple[Branches, Tensor]:
    """Every row from its beginning, and its hidden states."""
    branches = rows.tensors([0] * len(rows.chats)).to(decoder.model.device)
    own = [one for owner in rows.owner for one in seen[owner]] if seen is not None else []
    return branches, decoder.whole_rows(prompts_of(branches.ids, branches.mask, own))[0]


def _begin_alike(encoder: ChatEncoder, rows: BranchList) -> bool:
    """Whether all rows of each set of images are the same up to its last image, and no answer stands before that."""
    beginnings = dict[int, tuple[int, ...]]()
    for chat, owner in zip(rows.chats, rows.owner, strict=True):
        stop = max((place + 1 for place, token in enumerate(chat.ids) if token == encoder.images.token), default=0)
        # a token of the prompt stays with the answer, which it predicts
        is_before = True not in chat.answer or stop < chat.answer.index(True)
        if not is_before or beginnings.setdefault(owner, chat.ids[:stop]) != chat.ids[:stop]:
            return False
    return True


def _shared(
    decoder: Decoder, encoder: ChatEncoder, rows: BranchList, seen: Sequence[Sequence[Seen]] | None
) -> tuple[Branches, Tensor] | None:
    """Rows behind their common beginnings, and their hidden states; none where that does not pay."""
    device = decoder.model.device
    ids, mask, branches = split_trunks(encoder, rows, max(rows.owner) + 1)
    ids, mask, branches = ids.to(device), mask.to(device), branches.to(device)
    if seen is None and not _pays(mask, branches):
        return None
    trunk = prompts_of(ids, mask, [one for own in seen for one in own] if seen is not None else [])
    # without images the shared part is a few sentences: one pass is cheaper than two
    _, hidden = decoder.shared(trunk, branches, joined=seen is None)
    return branches, hidden


def _pays(trunk: Tensor, branches: Branches) -> bool:
    """Whether sharing prompts without image saves enough tokens to make up for attention over all branches."""
    saved = trunk.sum(1)[branches.owner].sum() - trunk.sum()
    return bool(saved > _WORTH_SHARING * branches.mask.sum())


def _rows(encoder: ChatEncoder, chats: Sequence[Chats], seen: Sequence[Sequence[Seen]] | None) -> BranchList:
    rows = BranchList()
    for number, own in enumerate(chats):
        images = None if seen is None else [one.tokens for one in seen[number]]
        for k, chat in enumerate(own):
            rows.add(encoder.encode(chat, images), number, k)
    return rows


def _statistics(decoder: Decoder, seen: Tensor, blind: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log p, log q and the divergence of each token, [M] each, over blocks of positions."""
    parts = list[tuple[Tensor, Tensor, Tensor]]()
    size = _positions(decoder)
    for p_states, q_states, ids in zip(*(torch.split(x, size) for x in (seen, blind, tokens)), strict=True):
        p, q = (decoder.logits(states).log_softmax(-1) for states in (p_states, q_states))
        logp, logq = (table.gather(1, ids[:, None])[:, 0] for table in (p, q))
        parts.append((logp, logq, log_kl(p, q)))
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    return columns[0], columns[1], columns[2]


def _log_probabilities(decoder: Decoder, states: Tensor, tokens: Tensor) -> Tensor:
    size = _positions(decoder)
    blocks = zip(torch.split(states, size), torch.split(tokens, size), strict=True)
    return torch.cat([chosen_logp(decoder.logits(block), ids) for block, ids in blocks])


def _positions(decoder: Decoder) -> int:
    """Positions whose full vocabulary is held at once."""
    return max(16, _LOGITS // int(decoder.text.vocab_size))


def _scatter(mask: Tensor, values: Tensor) -> Tensor:
    return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, values.float())
