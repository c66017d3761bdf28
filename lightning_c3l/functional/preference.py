"""Contrasts of a group's positive with its negatives by log-likelihood, and choices of the tokens that count.

Letters of the shapes: G groups, K candidates a group, R rows of candidates, N pairs of a positive and a negative,
L tokens of a row. A pair's scores stand in tables `[G, K]`, in the column of its negative.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_c3l.functional.checks import at_least_float32, require_shape, require_tokens


def text_logp(logp: Tensor, mask: Tensor, length_normalised: bool) -> Tensor:
    """Log-probability of each text: the sum over its tokens, or their mean.

    Args:
        logp: log-probability of each token, `[R, L]`.
        mask: true on the tokens that count, `[R, L]`; other positions may hold anything.
        length_normalised: take the mean.

    Returns:
        One value a row, `[R]`, at least float32.

    Raises:
        ValueError: shapes differ, or a row has no token that counts.

    Examples:
        Tokens of probability 1/2 and 1/4: log(1/8), or half of it.

        >>> text_logp(torch.tensor([[0.5, 0.25]]).log(), torch.ones(1, 2), length_normalised=False)
        tensor([-2.0794])
    """
    require_shape("mask", mask, tuple(logp.shape))
    mask = mask.bool()
    require_tokens(mask, "token")
    total = at_least_float32(logp).masked_fill(~mask, 0.0).sum(dim=1)
    return total / mask.sum(dim=1) if length_normalised else total


def pair_info_nce(positive: Tensor, negative: Tensor, real: Tensor, temperature: float) -> Tensor:
    """InfoNCE (van den Oord et al., 2018) of given scores; the positive's may differ from pair to pair.

    log(1 + sum_k exp((s_k - s_0k) / tau)), which is -log(exp(s_0 / tau) / sum_k exp(s_k / tau)) where s_0k is s_0
    in all pairs.

    Args:
        positive: score s_0k of the positive in the pair with negative k, `[G, K]`.
        negative: score s_k of the negative, `[G, K]`.
        real: true where there is a pair, `[G, K]`; other positions may hold anything.
        temperature: tau, above 0.

    Returns:
        Loss of each group, `[G]`; 0 without a pair.

    Examples:
        Two negatives, each as likely as the positive: log 3.

        >>> pair_info_nce(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2), temperature=0.5)
        tensor([1.0986])
    """
    ahead = -_difference(positive, negative, real) / temperature
    ahead = ahead.masked_fill(~real.bool(), -torch.inf)
    return F.pad(ahead, (1, 0)).logsumexp(dim=1)


def pair_dpo(positive: Tensor, negative: Tensor, real: Tensor, beta: float) -> Tensor:
    """Direct preference optimization (Rafailov et al., 2023), mean over the negatives of a group.

    -log sigmoid(beta (r_0k - r_k)), with r the log-ratio of a text under the model and under the reference.

    Args:
        positive: log-ratio r_0k of the positive in the pair with negative k, `[G, K]`.
        negative: log-ratio r_k of the negative, `[G, K]`.
        real: true where there is a pair, `[G, K]`; other positions may hold anything.
        beta: above 0.

    Returns:
        Loss of each group, `[G]`; 0 without a pair.

    Examples:
        A model that is its own reference: log 2, however many negatives there are.

        >>> pair_dpo(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2), beta=0.1)
        tensor([0.6931])
    """
    losses = F.softplus(-beta * _difference(positive, negative, real)).masked_fill(~real.bool(), 0.0)
    return losses.sum(dim=1) / real.sum(dim=1).clamp_min(1)


def _difference(positive: Tensor, negative: Tensor, real: Tensor) -> Tensor:
    require_shape("negative", negative, tuple(positive.shape))
    require_shape("real", real, tuple(positive.shape))
    positive, negative = (at_least_float32(one).masked_fill(~real.bool(), 0.0) for one in (positive, negative))
    return positive - negative


def largest_share(values: Tensor, mask: Tensor, share: float) -> Tensor:
    """The share of each row's tokens with the largest values, rounded up: at least one.

    Args:
        values: of each token, `[R, L]`; positions outside of the mask may hold anything.
        mask: true on the tokens to choose from, `[R, L]`.
        share: above 0, at most 1.

    Returns:
        True on the chosen tokens, `[R, L]`; of equal values the first are chosen.

    Examples:
        >>> largest_share(torch.tensor([[3.0, 1.0, 2.0, 9.0]]), torch.tensor([[True, True, True, False]]), share=0.5)
        tensor([[ True, False,  True, False]])
    """
    require_shape("mask", mask, tuple(values.shape))
    mask = mask.bool()
    require_tokens(mask, "token")
    order = values.masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True, stable=True)
    # not more for the rounding of a product such as 0.7 * 10
    count = (share * mask.sum(dim=1, keepdim=True).double() - 1e-6).ceil().clamp_min(1)
    return (order.argsort(dim=1) < count) & mask


def parting_tokens(ids: Tensor, mask: Tensor, other_ids: Tensor, other_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Where two texts differ first, for each pair of rows.

    A text that ends where the other goes on is read at its last token, and so are equal texts.

    Args:
        ids: tokens of one text, `[N, L]`.
        mask: true on the tokens of the text, `[N, L]`, at least one in each row.
        other_ids: tokens of the other text, `[N, L]`.
        other_mask: true on them, `[N, L]`.

    Returns:
        Column of the token in each of the two, `[N]` both.

    Examples:
        The texts 5 6 7 and 5 8, the second behind a token of its prompt.

        >>> ids, other = torch.tensor([[5, 6, 7]]), torch.tensor([[4, 5, 8]])
        >>> parting_tokens(ids, torch.ones(1, 3), other, torch.tensor([[0, 1, 1]]))
        (tensor([1]), tensor([2]))
    """
    for rows in (mask, other_mask):
        require_tokens(rows.bool(), "token")
    (order, tokens), (other_order, other_tokens) = (_compact(*one) for one in ((ids, mask), (other_ids, other_mask)))
    # two rows that have both ended are alike from there on
    differ = F.pad(tokens != other_tokens, (0, 1), value=True)
    first = differ.int().argmax(dim=1)
    return tuple(  # type: ignore[return-value]
        columns.gather(1, torch.minimum(first, rows.sum(dim=1) - 1)[:, None])[:, 0]
        for columns, rows in ((order, mask.long()), (other_order, other_mask.long()))
    )


def _compact(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Columns with those of the text first, `[N, L]`, and the tokens in this order, -1 behind the text's end."""
    order = mask.int().argsort(dim=1, descending=True, stable=True)
    return order, ids.masked_fill(~mask.bool(), -1).gather(1, order)


def visual_weights(logp_image: Tensor, logp_blind: Tensor, mask: Tensor) -> Tensor:
    """Weights of tokens by what they owe to the image, mean 1 over each text.

    w_t = 1/2 + 1/2 s_t / mean(s), s_t = max(0, p_t (log p_t - log q_t)): the terms of the reading `answer` of S(I2C).
    The half that is the same for all keeps the form of texts, which owes nothing to the image, in the likelihood.

    Args:
        logp_image: log-probability of each token with the image, `[R, L]`.
        logp_blind: without it, `[R, L]`.
        mask: true on the tokens that count, `[R, L]`; other positions may hold anything.

    Returns:
        Weights, `[R, L]`, 0 outside of the mask; 1 in a text that owes nothing to the image.

    Examples:
        Of two tokens, the image decides about the first alone.

        >>> logp, logq = torch.tensor([[0.8, 0.5]]).log(), torch.tensor([[0.1, 0.5]]).log()
        >>> visual_weights(logp, logq, torch.ones(1, 2))
        tensor([[1.5000, 0.5000]])
    """
    require_shape("logp_blind", logp_blind, tuple(logp_image.shape))
    require_shape("mask", mask, tuple(logp_image.shape))
    mask = mask.bool()
    require_tokens(mask, "token")
    logp, logq = (at_least_float32(one).masked_fill(~mask, 0.0) for one in (logp_image, logp_blind))
    owed = (logp.exp() * (logp - logq)).clamp_min(0.0)
    mean = owed.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True)
    weights = torch.where(mean > 0, 0.5 + 0.5 * owed / mean.clamp_min(torch.finfo(mean.dtype).tiny), 1.0)
    return weights.masked_fill(~mask, 0.0)
