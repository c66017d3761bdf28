"""Teacher-forced token statistics of answers, with the image, without it, and with another one."""

from collections.abc import Sequence

import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.conversations import Turn
from lightning_c3l.i2c import log_kl
from lightning_c3l.lvlm.base import AnswerTokens, Branches
from lightning_c3l.lvlm.huggingface.batching import pad_mask
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.forward import Decoder, Prompts, chosen_logp, predicting_states
from lightning_c3l.lvlm.huggingface.groups import BranchList, split_trunks
from lightning_c3l.lvlm.huggingface.images import ImageTokens, Seen

Pairs = Sequence[Sequence[tuple[str, str]]]
# logits held at once, for each of the two distributions: 16 MB in float32, and no fewer than 16 positions
_LOGITS = 1 << 22
# prompts without image are shared where that leaves out so many tokens, as a share of those that remain
_WORTH_SHARING = 0.15


@torch.no_grad()
def score_answers(
    decoder: Decoder,
    encoder: ChatEncoder,
    images: Sequence[Image],
    pairs: Pairs,
    shuffled: Sequence[Image] | None = None,
) -> AnswerTokens:
    """Statistics of every pair of every image; see `AnswerTokens`."""
    seen, tokens, lengths = _states(decoder, encoder, pairs, encoder.images.see(decoder.model, images))
    blind, _, _ = _states(decoder, encoder, pairs, None)
    logp, logq, kl = _statistics(decoder, seen, blind, tokens)
    other = None
    if shuffled is not None:
        states, _, _ = _states(decoder, encoder, pairs, encoder.images.see(decoder.model, shuffled))
        other = _log_probabilities(decoder, states, tokens)
    mask = pad_mask(lengths).to(tokens.device)
    return AnswerTokens(
        logp=_scatter(mask, logp),
        logq=_scatter(mask, logq),
        kl=_scatter(mask, kl),
        mask=mask,
        logp_shuffled=None if other is None else _scatter(mask, other),
    )


def _states(
    decoder: Decoder, encoder: ChatEncoder, pairs: Pairs, seen: Sequence[Seen] | None
) -> tuple[Tensor, Tensor, list[int]]:
    """States [M, H] that predict the answers' M tokens, those tokens, and the number of tokens of each answer."""
    device = decoder.model.device
    rows = _rows(encoder, pairs, None if seen is None else [one.tokens for one in seen])
    ids, mask, branches = split_trunks(encoder, rows, len(pairs))
    ids, mask, branches = ids.to(device), mask.to(device), branches.to(device)
    if seen is not None:
        grid = {name: torch.cat([one.grid[name] for one in seen]).to(device) for name in seen[0].grid}
        trunk = Prompts(ids, mask, torch.cat([one.features for one in seen]), grid)
        _, hidden = decoder.shared(trunk, branches)
    elif _pays(mask, branches):
        # the shared part is a few sentences: one pass is cheaper than two
        _, hidden = decoder.shared(Prompts(ids, mask, None, {}), branches, joined=True)
    else:
        branches = rows.tensors([0] * len(rows.chats)).to(device)
        hidden, _ = decoder.whole_rows(Prompts(branches.ids, branches.mask, None, {}))
    tokens = branches.ids[branches.text]
    return predicting_states(hidden, branches.text), tokens, branches.text.sum(1).tolist()


def _pays(trunk: Tensor, branches: Branches) -> bool:
    """Whether sharing prompts without image saves enough tokens to make up for attention over all branches."""
    saved = trunk.sum(1)[branches.owner].sum() - trunk.sum()
    return bool(saved > _WORTH_SHARING * branches.mask.sum())


def _rows(encoder: ChatEncoder, pairs: Pairs, images: Sequence[ImageTokens] | None) -> BranchList:
    rows = BranchList()
    for number, own in enumerate(pairs):
        image = None if images is None else images[number]
        for k, (question, answer) in enumerate(own):
            rows.add(encoder.encode((Turn("user", question), Turn("assistant", answer)), image), number, k)
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
