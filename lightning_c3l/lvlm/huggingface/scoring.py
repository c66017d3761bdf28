"""Teacher-forced token statistics of answers, with their image, without it, and with another one."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lightning_c3l.functional.i2c import log_kl
from lightning_c3l.lvlm.base import AnswerTokens, Chats, Images
from lightning_c3l.lvlm.huggingface.batching import pad_mask
from lightning_c3l.lvlm.huggingface.model_path import ModelPath
from lightning_c3l.lvlm.huggingface.packing import chosen_logp, placed

# logits held at once, for each of the two distributions: 16 MB in float32, and no fewer than 16 positions
_LOGITS = 1 << 22


@torch.no_grad()
def score_answers(
    path: ModelPath, images: Sequence[Images], chats: Sequence[Chats], shuffled: Sequence[Images] | None = None
) -> AnswerTokens:
    """Statistics of every answer of every conversation; see `AnswerScorer.score`."""
    with_image, tokens, lengths = path.answer_states(chats, images)
    without_image, _, _ = path.answer_states(chats, None)
    parts = list[tuple[Tensor, Tensor, Tensor]]()
    for p_states, q_states, ids in _blocks(path, with_image, without_image, tokens):
        p, q = (path.logits(states).log_softmax(-1) for states in (p_states, q_states))
        parts.append((p.gather(1, ids[:, None])[:, 0], q.gather(1, ids[:, None])[:, 0], log_kl(p, q)))
    mask = pad_mask(lengths).to(tokens.device)
    logp_image, logp_blind, kl = (placed(torch.cat(column).float(), mask) for column in zip(*parts, strict=True))
    logp_shuffled = None
    if shuffled is not None:
        states, _, _ = path.answer_states(chats, shuffled)
        logp_shuffled = placed(_log_probabilities(path, states, tokens), mask)
    return AnswerTokens(logp_image, logp_blind, kl, mask, logp_shuffled)


@torch.no_grad()
def mean_nll(path: ModelPath, images: Sequence[Images], chats: Sequence[Chats]) -> list[list[float]]:
    """Mean over all assistant turns of each conversation; see `AnswerScorer.mean_nll`."""
    # a batch without any image may share prefixes in another way
    states, tokens, lengths = path.answer_states(chats, images if any(map(len, images)) else None)
    mask = pad_mask(lengths).to(tokens.device)
    logp = placed(_log_probabilities(path, states, tokens), mask)
    turns = iter(zip(logp.cpu().double().sum(1).tolist(), lengths, strict=True))
    out = list[list[float]]()
    for own in chats:
        means = list[float]()
        for chat in own:
            answers = [next(turns) for turn in chat if turn.role == "assistant"]
            count = sum(length for _, length in answers)
            means.append(-sum(total for total, _ in answers) / count if count else math.nan)
        out.append(means)
    return out


def _log_probabilities(path: ModelPath, states: Tensor, tokens: Tensor) -> Tensor:
    blocks = _blocks(path, states, tokens)
    return torch.cat([chosen_logp(path.logits(block), ids) for block, ids in blocks]).float()


def _blocks(path: ModelPath, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The columns in blocks of positions, few enough for their logits to be in memory at the same time."""
    size = max(16, _LOGITS // path.vocab_size)
    return zip(*(torch.split(column, size) for column in columns), strict=True)
