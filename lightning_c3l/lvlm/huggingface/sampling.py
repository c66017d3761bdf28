"""Sampling of tokens: each completion has its own stream of random numbers, so the batch does not influence it."""

import torch
from torch import Tensor

from lightning_c3l.lvlm.base import Sampling


def uniforms(seed: int, sampling: Sampling) -> Tensor:
    """Random numbers in [0, 1) for the completions of one request, one per token, [N, T], float64."""
    rows = list[Tensor]()
    for sample in range(sampling.samples):
        # a stream per sample, so that the k-th does not depend on the number of samples
        generator = torch.Generator().manual_seed((seed * 1_000_003 + sample) % (1 << 63))
        rows.append(torch.rand(sampling.max_new_tokens, generator=generator, dtype=torch.float64))
    return torch.stack(rows)


def sample_tokens(logits: Tensor, uniform: Tensor, sampling: Sampling) -> Tensor:
    """Sample one token per row, [A], by inverting the cumulative distribution.

    Args:
        logits: next-token logits, [A, V].
        uniform: random numbers in [0, 1), [A].
        sampling: temperature and top_p.
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    p = (logits.float() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        p = nucleus(p, sampling.top_p)
    cumulative = p.double().cumsum(-1)
    target = uniform.to(cumulative)[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, target, right=True).squeeze(1)
    # a target that rounds up to the whole sum would lie behind the last token with any probability
    last = p.shape[1] - 1 - (p.flip(-1) > 0).int().argmax(-1)
    return torch.minimum(tokens, last)


def nucleus(p: Tensor, share: float) -> Tensor:
    """Probabilities [A, V], set to 0 for all but the likeliest tokens that together reach `share`."""
    ordered, index = p.sort(dim=-1, descending=True)
    dropped = ordered.cumsum(-1) - ordered >= share
    return p.masked_fill(dropped.scatter(-1, index, dropped), 0.0)
