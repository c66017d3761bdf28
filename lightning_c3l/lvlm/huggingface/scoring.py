"""Teacher-forced token statistics of answers, with the image, without it, and with another one."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from lightning_c3l.conversations import Turn
from lightning_c3l.i2c import token_kl
from lightning_c3l.lvlm.base import AnswerTokens
from lightning_c3l.lvlm.huggingface.batching import pad_mask
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.forward import plain_hidden, predicting_states, shared_hidden
from lightning_c3l.lvlm.huggingface.groups import BranchList, encode_trunks

Pairs = Sequence[Sequence[tuple[str, str]]]
# positions whose full vocabulary is held at once: two float32 blocks of 256 x 152,000 words are 300 MB
_POSITIONS = 256


@torch.no_grad()
def score_answers(
    model: Any,
    encoder: ChatEncoder,
    placeholder: int,
    images: Sequence[Image],
    pairs: Pairs,
    shuffled: Sequence[Image] | None = None,
) -> AnswerTokens:
    """Statistics of every pair of every image; see `AnswerTokens`."""
    device = model.device
    head = model.get_output_embeddings()
    seen, tokens, lengths = _with_images(model, encoder, placeholder, images, pairs, device)
    blind = _without_image(model, encoder, pairs, device)
    logp, logq, kl = _statistics(head, seen, blind, tokens)
    other = None
    if shuffled is not None:
        states, _, _ = _with_images(model, encoder, placeholder, shuffled, pairs, device)
        other = _log_probabilities(head, states, tokens)
    mask = pad_mask(lengths).to(device)
    return AnswerTokens(
        logp=_scatter(mask, logp),
        logq=_scatter(mask, logq),
        kl=_scatter(mask, kl),
        mask=mask,
        logp_shuffled=None if other is None else _scatter(mask, other),
    )


def _with_images(
    model: Any, encoder: ChatEncoder, placeholder: int, images: Sequence[Image], pairs: Pairs, device: torch.device
) -> tuple[Tensor, Tensor, list[int]]:
    """States [M, H] that predict the answers' M tokens, those tokens, and the tokens of each answer."""
    trunk, branches = encode_trunks(encoder, _rows(encoder, pairs, image=True), images, placeholder)
    trunk = {name: value.to(device) for name, value in trunk.items()}
    branches = branches.to(device)
    _, hidden = shared_hidden(model, trunk, branches)
    tokens = branches.ids[branches.text]
    return predicting_states(hidden, branches.text), tokens, branches.text.sum(1).tolist()


def _without_image(model: Any, encoder: ChatEncoder, pairs: Pairs, device: torch.device) -> Tensor:
    """The same states of the same tokens, the image left out of the prompt."""
    rows = _rows(encoder, pairs, image=False)
    branches = rows.tensors([0] * len(rows.chats)).to(device)
    return predicting_states(plain_hidden(model, branches.ids, branches.mask, {}), branches.text)


def _rows(encoder: ChatEncoder, pairs: Pairs, image: bool) -> BranchList:
    rows = BranchList()
    for number, own in enumerate(pairs):
        for k, (question, answer) in enumerate(own):
            rows.add(encoder.encode((Turn("user", question), Turn("assistant", answer)), image), number, k)
    return rows


def _statistics(head: nn.Module, seen: Tensor, blind: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log p, log q and the divergence of each token, [M] each, over blocks of positions."""
    parts = list[tuple[Tensor, Tensor, Tensor]]()
    for p_states, q_states, ids in zip(_blocks(seen), _blocks(blind), _blocks(tokens), strict=True):
        p, q = head(p_states).float(), head(q_states).float()
        parts.append((_chosen(p, ids), _chosen(q, ids), token_kl(p, q)))
    logp, logq, kl = (torch.cat(column) for column in zip(*parts, strict=True))
    return logp, logq, kl


def _log_probabilities(head: nn.Module, states: Tensor, tokens: Tensor) -> Tensor:
    blocks = zip(_blocks(states), _blocks(tokens), strict=True)
    return torch.cat([_chosen(head(block).float(), ids) for block, ids in blocks])


def _blocks(x: Tensor) -> tuple[Tensor, ...]:
    return torch.split(x, _POSITIONS)


def _chosen(logits: Tensor, ids: Tensor) -> Tensor:
    return -nn.functional.cross_entropy(logits, ids, reduction="none")


def _scatter(mask: Tensor, values: Tensor) -> Tensor:
    return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, values.float())
