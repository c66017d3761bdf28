"""Drawing tokens: each text has its own stream of random numbers, whatever is written beside it."""

import torch
from torch import Tensor

from lightning_c3l.lvlm.base import Sampling


def uniforms(seed: int, sampling: Sampling) -> Tensor:
    """Random numbers in [0, 1) of all texts of one prompt, one for each token, [N, T], float64."""
    rows = list[Tensor]()
    for sample in range(sampling.samples):
        # a stream for each text, so that the k-th is the same however many are asked for
        generator = torch.Generator().manual_seed((seed * 1_000_003 + sample) % (1 << 63))
        rows.append(torch.rand(sampling.max_new_tokens, generator=generator, dtype=torch.float64))
    return torch.stack(rows)


def draw_tokens(logits: Tensor, uniform: Tensor, sampling: Sampling) -> Tensor:
    """One token for each row, [A], by inversion of the cumulative distribution.

    Args:
        logits: next-token logits, [A, V].
        uniform: a number in [0, 1) for each row, [A].
        sampling: temperature and top_p.
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    p = (logits.float() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        p = nucleus(p, sampling.top_p)
    cumulative = p.double().cumsum(-1)
    target = uniform.to(cumulative)[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, target, right=True).squeeze(1)
    # a target that rounds to the whole sum would fall behind the last token that has any probability
    last = p.shape[1] - 1 - (p.flip(-1) > 0).int().argmax(-1)
    return torch.minimum(drawn, last)


def nucleus(p: Tensor, share: float) -> Tensor:
    """Probabilities [A, V] with all tokens but the likeliest that together reach `share` set to 0."""
    ordered, index = p.sort(dim=-1, descending=True)
    dropped = ordered.cumsum(-1) - ordered >= share
    return p.masked_fill(dropped.scatter(-1, index, dropped), 0.0)
