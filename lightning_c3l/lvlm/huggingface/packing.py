"""Suffixes side by side in one row per prefix, and what is read from the states of token rows."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_c3l.lvlm.batches import TokenRows
from lightning_c3l.lvlm.huggingface.attention import PADDING


@dataclass(frozen=True)
class Packed:
    """Suffixes side by side, in one row per prefix.

    Attributes:
        ids: tokens, [G, M].
        offset: index of a token in its own suffix, [G, M].
        suffix: number of its suffix in the row, from 1, or `PADDING`, [G, M].
        slot: index in the flattened rows of each token of the suffixes, [R, L].
    """

    ids: Tensor
    offset: Tensor
    suffix: Tensor
    slot: Tensor


def pack(suffixes: TokenRows, rows: int) -> Packed:
    """Put the suffixes of each of so many prefixes side by side."""
    mask, owner = suffixes.mask, suffixes.owner
    lengths = mask.long().sum(1)
    before = torch.tril((owner[:, None] == owner[None, :]).long(), -1)
    start, number = before @ lengths, before.sum(1) + 1
    total = torch.zeros(rows, dtype=torch.long, device=owner.device).index_add(0, owner, lengths)
    width = int(total.max()) if len(owner) else 0
    column = torch.arange(mask.shape[1], device=owner.device).expand_as(mask)
    slot = ((owner * width + start)[:, None] + column).masked_fill(~mask, 0)

    def spread(values: Tensor, fill: int) -> Tensor:
        flat = torch.full((rows * width,), fill, dtype=torch.long, device=owner.device)
        return flat.index_put((slot[mask],), values[mask]).view(rows, width)

    return Packed(
        ids=spread(suffixes.ids, 0),
        offset=spread(column, 0),
        suffix=spread(number[:, None].expand_as(mask), PADDING),
        slot=slot,
    )


def left_padding(mask: Tensor) -> Tensor:
    """Column of each token of right-padded rows once they are left-padded, [B, L]: for `torch.gather`."""
    columns = torch.arange(mask.shape[1], device=mask.device)
    return (columns - (~mask).sum(1, keepdim=True)) % mask.shape[1]


def predicting_states(hidden: Tensor, target: Tensor) -> Tensor:
    """Hidden states [M, H] that predict the M tokens marked in `target` [R, L]: those one position before them.

    Raises:
        ValueError: if the first token of a row is marked.
    """
    if bool(target[:, 0].any()):
        raise ValueError("the first token of a row cannot be a target: nothing before it predicts it")
    return hidden[:, :-1][target[:, 1:]]


def target_logp(logits: Tensor, ids: Tensor, target: Tensor) -> Tensor:
    """Log-probabilities of the M target tokens from their logits [M, V], in their places in [R, L]; 0 elsewhere."""
    return placed(chosen_logp(logits, ids[target]), target)


def placed(values: Tensor, target: Tensor) -> Tensor:
    """Values of the M target tokens in their places in [R, L]; 0 elsewhere."""
    return values.new_zeros(target.shape).masked_scatter(target, values)


def chosen_logp(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probability of each token, [M], under its logits [M, V]."""
    return -nn.functional.cross_entropy(logits, ids, reduction="none")
