"""S(I2C): how much a generated answer depends on the image, in four readings.

Our reading of C3L (arXiv 2405.12752). With p_t the probability of the answer's token t given the image, the
question and the tokens before it, q_t the same without the image, and t = 1..T over the answer's tokens:

* answer: (1/T) sum p_t (log p_t - log q_t). The term of the vocabulary divergence that belongs to the generated
  token: signed, specific to the answer, meaningful for one-token answers.
* positions: sum P_t (log P_t - log Q_t), where P and Q are p and q divided by their sums over t. The literal
  divergence between two distributions over the answer's tokens; always 0 at T = 1.
* vocabulary: (1/T) sum KL(P(. | a_<t, image) || P(. | a_<t)). How far the image moves the prediction, whichever
  tokens the answer has.
* gap: (1/T) sum (log p_t - log q_t). Pointwise mutual information.

All in nats, log is the natural logarithm. Letters of the shapes: B answers, T answer tokens, V vocabulary size.
Another pooling than the mean over the tokens (see `pooling`) takes its place in `answer`, `vocabulary` and `gap`, which
have a value of each token; `positions` is of the whole answer, and the mean log-probabilities stay means.
Every reading is a `Reading`; one of the user's own is another such function.
Reductions run in float32 (float64 stays float64), whatever the input's dtype.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lightning_c3l import extensions
from lightning_c3l.functional.checks import at_least_float32, masked_mean, require_shape, require_tokens
from lightning_c3l.functional.pooling import Pool


class Reading(Protocol):
    """Makes one value of each answer of a batch, from a pass over it with its image and one without.

    It takes of its arguments what it needs:

    * `logp_image`: log-probability of each answer token with the image, `[B, T]`;
    * `logp_blind`: the same without the image, `[B, T]`;
    * `kl`: `token_kl` at the positions that predict each answer token, `[B, T]`;
    * `mask`: true on answer tokens, `[B, T]`; other positions may hold anything;
    * `pool`: takes the place of the mean over the tokens.

    It returns the reading of each row, `[B]`, in nats; if shapes differ, or a row has no answer token, it raises a
    `ValueError`.
    """

    def __call__(
        self, logp_image: Tensor, logp_blind: Tensor, kl: Tensor, mask: Tensor, pool: Pool = masked_mean
    ) -> Tensor:
        """Compute the reading."""


class Readings(NamedTuple):
    """All readings of a batch of answers, each `[B]`; the module docstring has the formulas.

    Attributes:
        answer: nats a token, signed.
        positions: nats, at least 0 up to rounding.
        vocabulary: nats a token, at least 0.
        gap: nats a token, signed.
        mean_logp: mean log-probability of an answer token with the image.
        mean_logq: the same without the image.
        tokens: T, the number of answer tokens, int64.
    """

    answer: Tensor
    positions: Tensor
    vocabulary: Tensor
    gap: Tensor
    mean_logp: Tensor
    mean_logq: Tensor
    tokens: Tensor


def answer_reading(
    logp_image: Tensor, logp_blind: Tensor, kl: Tensor, mask: Tensor, pool: Pool = masked_mean
) -> Tensor:
    """Mean over answer tokens of p_t (log p_t - log q_t); the arguments are those of `Reading`.

    Examples:
        Two tokens of probability 1/2 and 1/4 with the image, 1/4 and 1/4 without: (1/2 log 2 + 0) / 2.

        >>> p, q = torch.tensor([[0.5, 0.25]]), torch.tensor([[0.25, 0.25]])
        >>> answer_reading(p.log(), q.log(), torch.zeros(1, 2), torch.ones(1, 2))
        tensor([0.1733])
    """
    logp_image, logp_blind, mask = _checked(logp_image, logp_blind, mask)
    return pool(_weighted_log_ratio(logp_image, logp_blind), mask)


def positions_reading(
    logp_image: Tensor, logp_blind: Tensor, kl: Tensor, mask: Tensor, pool: Pool = masked_mean
) -> Tensor:
    """Divergence between p and q, each normalised over the answer's positions; exactly 0 at T = 1.

    The arguments are those of `Reading`. There is nothing to pool: the reading is of the whole answer.

    Examples:
        Two tokens of probability 1/2 and 1/4 with the image, 1/4 and 1/4 without. P = (2/3, 1/3) and
        Q = (1/2, 1/2): 2/3 log 4/3 + 1/3 log 2/3.

        >>> p, q = torch.tensor([[0.5, 0.25]]), torch.tensor([[0.25, 0.25]])
        >>> positions_reading(p.log(), q.log(), torch.zeros(1, 2), torch.ones(1, 2))
        tensor([0.0566])
    """
    logp_image, logp_blind, mask = _checked(logp_image, logp_blind, mask)
    # p_t / sum_t p_t is the softmax of log p_t over the positions.
    outside = ~mask
    share_p = logp_image.masked_fill(outside, -torch.inf).log_softmax(dim=1)
    share_q = logp_blind.masked_fill(outside, -torch.inf).log_softmax(dim=1)
    # Shares outside the answer are 0, so their terms are 0 as well.
    return _weighted_log_ratio(share_p, share_q).sum(dim=1)


def gap_reading(logp_image: Tensor, logp_blind: Tensor, kl: Tensor, mask: Tensor, pool: Pool = masked_mean) -> Tensor:
    """Mean over answer tokens of log p_t - log q_t; the arguments are those of `Reading`.

    Examples:
        Two tokens of probability 1/2 and 1/4 with the image, 1/4 and 1/4 without: (log 2 + 0) / 2.

        >>> p, q = torch.tensor([[0.5, 0.25]]), torch.tensor([[0.25, 0.25]])
        >>> gap_reading(p.log(), q.log(), torch.zeros(1, 2), torch.ones(1, 2))
        tensor([0.3466])
    """
    logp_image, logp_blind, mask = _checked(logp_image, logp_blind, mask)
    return pool(logp_image - logp_blind, mask)


def token_kl(logits_image: Tensor, logits_blind: Tensor) -> Tensor:
    """KL(P || Q) between the predictions with and without the image, one value a position.

    Args:
        logits_image: raw logits with the image, `[..., V]`.
        logits_blind: raw logits without the image, `[..., V]`.

    Returns:
        The divergence over the vocabulary, `[...]`, nats, float32 (float64 for float64 logits).

    Raises:
        ValueError: shapes differ.

    Examples:
        (1/2, 1/2) against (1/4, 3/4): 1/2 log 2 + 1/2 log 2/3.

        >>> token_kl(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log())
        tensor(0.1438)
    """
    require_shape("logits_image", logits_image, tuple(logits_blind.shape))
    return log_kl(
        at_least_float32(logits_image).log_softmax(dim=-1), at_least_float32(logits_blind).log_softmax(dim=-1)
    )


def log_kl(logp_image: Tensor, logp_blind: Tensor) -> Tensor:
    """`token_kl` of log-probabilities `[..., V]` that the caller has normalised already."""
    total: Tensor = torch.linalg.vecdot(logp_image.exp(), logp_image - logp_blind)
    # 0 log 0 counts as 0; the careful form costs four times as much, so it runs only where a token is impossible
    if bool(total.isnan().any()):
        total = _weighted_log_ratio(logp_image, logp_blind).sum(dim=-1)
    # The float sum of near-equal distributions may be negative by a rounding error.
    return total.clamp_min(0.0)


def vocabulary_reading(
    logp_image: Tensor, logp_blind: Tensor, kl: Tensor, mask: Tensor, pool: Pool = masked_mean
) -> Tensor:
    """Mean of the vocabulary divergence over answer tokens; the arguments are those of `Reading`.

    Examples:
        The mean of 0.1 and 0.3; the third position is padding.

        >>> kl, mask = torch.tensor([[0.1, 0.3, torch.nan]]), torch.tensor([[True, True, False]])
        >>> vocabulary_reading(kl, kl, kl, mask)
        tensor([0.2000])
    """
    require_shape("kl", kl, tuple(mask.shape))
    kl, _, mask = _checked(kl, kl, mask)
    return pool(kl, mask)


# the readings of ours, by the names that options give them
READING_FUNCTIONS: dict[str, Reading] = {
    "answer": answer_reading,
    "positions": positions_reading,
    "vocabulary": vocabulary_reading,
    "gap": gap_reading,
}


def reading_function(option: str, name: str) -> Reading:
    """The reading of a name: one of ours, or a function of the user's own by its dotted path.

    Args:
        option: that names it, for errors.
        name: such as `gap` or `my_reading.surprise`.

    Raises:
        ValueError: there is no such reading; says which option and why.
    """
    wanted = extensions.takes(("logp_image", "logp_blind", "kl", "mask", "pool"))
    found: Reading = extensions.choose(option, name, READING_FUNCTIONS, "reading", wanted)
    return found


def own_reading(
    name: str, logp_image: Tensor, logp_blind: Tensor, kl: Tensor, mask: Tensor, pool: Pool = masked_mean
) -> Tensor:
    """Values of a reading of the user's own.

    `name` is its dotted path; the other arguments are those of `Reading`, the checks those of `all_readings`.

    Returns:
        Its value of each row, `[B]`.

    Raises:
        ValueError: shapes differ, a row has no answer token, or the reading is no such function or returns something
            else.
    """
    logp_image, logp_blind, mask = _checked(logp_image, logp_blind, mask)
    found = reading_function("reading", name)(logp_image, logp_blind, kl, mask, pool)
    if not isinstance(found, Tensor):
        raise ValueError(f"reading {name}: returned {type(found).__name__}, not a tensor [B] with a value an answer")
    require_shape(f"what reading {name} returned", found, (len(mask),))
    return found


def all_readings(
    logp_image: Tensor, logp_blind: Tensor, kl: Tensor, mask: Tensor, pool: Pool = masked_mean
) -> Readings:
    """Compute all four readings of a batch, with the mean log-probabilities and the length.

    The arguments are those of `Reading`.

    Returns:
        One tensor `[B]` for each reading.

    Raises:
        ValueError: shapes differ, or a row has no answer token.

    Examples:
        One token: its answer reading is p (log p - log q) = 1/2 log 2, and positions are 0.

        >>> found = all_readings(
        ...     torch.tensor([[0.5]]).log(), torch.tensor([[0.25]]).log(), torch.tensor([[0.7]]), torch.ones(1, 1)
        ... )
        >>> [round(value.item(), 4) for value in found]
        [0.3466, 0.0, 0.7, 0.6931, -0.6931, -1.3863, 1]
    """
    logp_image, logp_blind, mask = _checked(logp_image, logp_blind, mask)
    return Readings(
        **{name: reading(logp_image, logp_blind, kl, mask, pool) for name, reading in READING_FUNCTIONS.items()},
        mean_logp=masked_mean(logp_image, mask),
        mean_logq=masked_mean(logp_blind, mask),
        tokens=mask.sum(dim=1),
    )


def _weighted_log_ratio(logp_image: Tensor, logp_blind: Tensor) -> Tensor:
    """Elementwise p (log p - log q), with 0 log 0 = 0."""
    p = logp_image.exp()
    # `p == 0` rather than `p > 0` below keeps a nan visible: it must show in the score, not turn into 0.
    return torch.where(p == 0, torch.zeros_like(p), p * (logp_image - logp_blind))


def _checked(logp_image: Tensor, logp_blind: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs in float32 or more, after the checks that every reading shares."""
    if mask.dim() != 2:
        raise ValueError(f"mask must be [B, T], not {tuple(mask.shape)}")
    for name, value in (("logp_image", logp_image), ("logp_blind", logp_blind)):
        require_shape(name, value, tuple(mask.shape))
    require_tokens(mask.bool(), "answer token")
    return at_least_float32(logp_image), at_least_float32(logp_blind), mask.bool()
