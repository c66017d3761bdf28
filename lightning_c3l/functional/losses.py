"""The losses of training on pseudo-labels: likelihood of the positive and contrast against the negatives.

Our reading of C3L (arXiv 2405.12752). For a group with anchor z_a and candidates z_k, of which k = 0 is the
positive:

    L_con = -log( exp(cos(z_a, z_0) / tau) / sum_k exp(cos(z_a, z_k) / tau) )

with z the mean over tokens of ReLU(W h + b), h the LVLM's last hidden layer. Letters of the shapes: G groups,
K candidates a group, D projected size, H hidden size, B rows, L tokens of a row, T answer tokens.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_c3l.functional.checks import at_least_float32, masked_mean, require_shape, require_tokens

# Below this length a vector counts as zero and its cosine as 0: a projection whose units are all off has no
# direction.
_SHORTEST = 1e-8


def sequence_nll(logp: Tensor, mask: Tensor) -> Tensor:
    """Mean negative log-likelihood of each row over its supervised tokens.

    Args:
        logp: log-probability of each token, `[B, T]`.
        mask: true on supervised tokens, `[B, T]`; other positions may hold anything.

    Returns:
        Loss of each row, `[B]`, nats a token, float32 (float64 for float64 input).

    Raises:
        ValueError: shapes differ, or a row has no supervised token.

    Examples:
        Tokens of probability 1/2 and 1/4: (log 2 + log 4) / 2.

        >>> sequence_nll(torch.tensor([[0.5, 0.25]]).log(), torch.ones(1, 2))
        tensor([1.0397])
    """
    require_shape("mask", mask, tuple(logp.shape))
    mask = mask.bool()
    require_tokens(mask, "supervised token")
    return -masked_mean(at_least_float32(logp), mask)


def contrastive_pseudo_label_loss(
    anchor: Tensor, candidates: Tensor, mask: Tensor, temperature: float, cross_group: bool = False
) -> Tensor:
    """Contrast the anchor of each group with its candidates, of which candidate 0 is the positive.

    Args:
        anchor: representation of each group's anchor, `[G, D]`.
        candidates: representations of the candidates, `[G, K, D]`; padding may hold anything.
        mask: true on real candidates, `[G, K]`.
        temperature: tau, above 0.
        cross_group: whether the real candidates of all other groups count as negatives too.

    Returns:
        Loss of each group, `[G]`; 0 for a group with nothing but its positive (and no other group to contrast
        with).

    Raises:
        ValueError: shapes do not fit, a group's positive is masked, or the temperature is not above 0.

    Examples:
        Cosines 1 to the positive and 0 to the negative at tau = 1: -log(e / (e + 1)).

        >>> candidates = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
        >>> contrastive_pseudo_label_loss(torch.tensor([[1.0, 0.0]]), candidates, torch.ones(1, 2), temperature=1.0)
        tensor([0.3133])
    """
    mask = mask.bool()
    _check_groups(anchor, candidates, mask, temperature)
    if cross_group:
        return _info_nce(anchor, candidates[:, 0], candidates.flatten(0, 1), mask.flatten(), temperature)
    return _info_nce(anchor, candidates[:, 0], candidates, mask, temperature)


class ContrastivePseudoLabelLoss(nn.Module):
    """The contrastive loss with its projection head.

    With `cross_group` and more than one rank, the candidates of the other ranks are negatives as well;
    gradients flow back to the ranks they came from. Every rank must then call `forward`, and backward,
    equally often.

    Args:
        hidden_size: H, size of the LVLM's last hidden layer.
        projection_size: D, size of the space in which cosines are taken.
        temperature: tau, above 0.
        cross_group: whether other groups' candidates are negatives too.

    Raises:
        ValueError: a size below 1 or a temperature not above 0.
    """

    def __init__(
        self,
        hidden_size: int,
        projection_size: int = 128,
        temperature: float = 0.2,
        cross_group: bool = False,
    ) -> None:
        super().__init__()
        if hidden_size < 1 or projection_size < 1:
            raise ValueError(f"sizes must be at least 1, not {hidden_size} and {projection_size}")
        _check_temperature(temperature)
        self.projection = nn.Linear(hidden_size, projection_size)
        self.temperature = temperature
        self.cross_group = cross_group

    def project(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Represent each row: mean over its tokens of ReLU(W h + b).

        Args:
            hidden: last hidden layer, `[B, L, H]`; masked tokens may hold anything.
            mask: true on the tokens that count, `[B, L]`.

        Returns:
            Representations, `[B, D]`, at least float32.

        Raises:
            ValueError: shapes do not fit, or a row has no token.

        Examples:
            With W = 1 and b = 0, the mean of ReLU(1, -1) and ReLU(3, 1).

            >>> loss = ContrastivePseudoLabelLoss(hidden_size=2, projection_size=2)
            >>> _ = loss.projection.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
            >>> loss.project(torch.tensor([[[1.0, -1.0], [3.0, 1.0]]]), torch.ones(1, 2)).tolist()
            [[2.0, 0.5]]
        """
        if hidden.dim() != 3 or hidden.shape[2] != self.projection.in_features:
            raise ValueError(f"hidden must be [B, L, {self.projection.in_features}], not {tuple(hidden.shape)}")
        require_shape("mask", mask, tuple(hidden.shape[:2]))
        mask = mask.bool()
        require_tokens(mask, "token")
        # Cleared before the linear layer: a nan in padding would reach W's gradient through 0 * nan.
        clean = hidden.masked_fill(~mask.unsqueeze(-1), 0.0).to(self.projection.weight.dtype)
        active = at_least_float32(self.projection(clean).relu())
        return active.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1) / mask.sum(dim=1, keepdim=True)

    def forward(self, anchor: Tensor, candidates: Tensor, mask: Tensor) -> Tensor:
        """Contrast the groups of this rank, with those of all ranks if `cross_group`.

        Args:
            anchor: projected anchors, `[G, D]`.
            candidates: projected candidates, the positive first, `[G, K, D]`; padding may hold anything.
            mask: true on real candidates, `[G, K]`.

        Returns:
            Loss of each group, `[G]`.

        Raises:
            ValueError: shapes do not fit, or a group's positive is masked.
        """
        if not (self.cross_group and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return contrastive_pseudo_label_loss(anchor, candidates, mask, self.temperature, self.cross_group)
        mask = mask.bool()
        _check_groups(anchor, candidates, mask, self.temperature)
        pool, real = _gather_candidates(candidates, mask)
        return _info_nce(anchor, candidates[:, 0], pool, real, self.temperature)


def c3l_loss(
    write_nll: Tensor,
    answer_nll: Tensor,
    contrastive: Tensor,
    weights: Tensor,
    nll_weight: float,
    contrastive_weight: float,
) -> Tensor:
    """Average w_i * nll_weight * (write + answer) / 2 + contrastive_weight * contrastive over groups.

    Args:
        write_nll: loss of the positive pair given image and instruction, `[G]`.
        answer_nll: loss of its answer given image and its question, `[G]`.
        contrastive: contrastive loss of each group, `[G]`.
        weights: w_i, `[G]`.
        nll_weight: factor of the likelihood part, at least 0.
        contrastive_weight: lambda, factor of the contrastive part, at least 0.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: shapes differ, there is no group, or a factor is below 0.

    Examples:
        Two groups: 1 * (1 + 2) / 2 + 0.1 * 0.5 = 1.55 and 2 * (3 + 1) / 2 + 0.1 * 1.5 = 4.15.

        >>> write_nll, answer_nll = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 1.0])
        >>> contrastive, weights = torch.tensor([0.5, 1.5]), torch.tensor([1.0, 2.0])
        >>> c3l_loss(write_nll, answer_nll, contrastive, weights, nll_weight=1.0, contrastive_weight=0.1)
        tensor(2.8500)
    """
    if nll_weight < 0 or contrastive_weight < 0:
        raise ValueError(f"loss factors must not be below 0, got {nll_weight} and {contrastive_weight}")
    if write_nll.dim() != 1 or not len(write_nll):
        raise ValueError(f"write_nll must be [G] with at least one group, not {tuple(write_nll.shape)}")
    for name, value in (("answer_nll", answer_nll), ("contrastive", contrastive), ("weights", weights)):
        require_shape(name, value, tuple(write_nll.shape))
    likelihood = weights * nll_weight * (0.5 * write_nll + 0.5 * answer_nll)
    return (likelihood + contrastive_weight * contrastive).mean()


def _info_nce(anchor: Tensor, positive: Tensor, pool: Tensor, real: Tensor, temperature: float) -> Tensor:
    """Loss `[G]` of anchors and positives `[G, D]` against a pool of each group's own or one shared by all.

    `pool` is `[G, K, D]` with `real` `[G, K]`, or `[N, D]` with `real` `[N]`; it contains the positives.
    """
    # Autocast would take the cosines in bfloat16, whose steps of 0.004 the division by tau magnifies.
    with torch.autocast(anchor.device.type, enabled=False):
        pool = _direction(pool.masked_fill(~real.unsqueeze(-1), 0.0))
        anchor, positive = _direction(anchor), _direction(positive)
        # g: group, k: its candidates, n: candidates of the shared pool, d: projected size.
        cosines = torch.einsum("gd,gkd->gk" if pool.dim() == 3 else "gd,nd->gn", anchor, pool)
        logits = (cosines / temperature).masked_fill(~real, -torch.inf)
        return logits.logsumexp(dim=1) - torch.einsum("gd,gd->g", anchor, positive) / temperature


def _direction(x: Tensor) -> Tensor:
    return F.normalize(at_least_float32(x), dim=-1, eps=_SHORTEST)


class _AllGather(torch.autograd.Function):
    """Stack equal-shaped tensors of all ranks; backward sums the gradients of all ranks for this rank's part.

    Written out since `torch.distributed.nn.functional.all_gather` is deprecated in torch 2.13 and its
    replacement has no stable public name.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _stack_ranks(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[dist.get_rank()]


def _stack_ranks(x: Tensor) -> Tensor:
    """The tensors of all ranks, `[R, *x.shape]`, without gradient."""
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.stack(parts)


def _gather_candidates(candidates: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """All ranks' candidates `[N, D]` and which of them are real `[N]`, padded to the largest G and K."""
    groups, width = mask.shape
    sizes = _stack_ranks(torch.tensor([groups, width], device=mask.device))
    most_groups, most_width = sizes.amax(dim=0).tolist()
    missing = (0, most_width - width, 0, most_groups - groups)
    # gloo and nccl agree on bytes, not on bool.
    real = _stack_ranks(F.pad(mask.to(torch.uint8), missing)).bool()
    padded = F.pad(at_least_float32(candidates), (0, 0, *missing))
    pool: Tensor = _AllGather.apply(padded)  # type: ignore[no-untyped-call]
    return pool.flatten(0, 2), real.flatten()


def _check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")


def _check_groups(anchor: Tensor, candidates: Tensor, mask: Tensor, temperature: float) -> None:
    _check_temperature(temperature)
    if candidates.dim() != 3 or candidates.shape[1] < 1:
        raise ValueError(f"candidates must be [G, K, D] with K at least 1, not {tuple(candidates.shape)}")
    groups, width, size = candidates.shape
    require_shape("anchor", anchor, (groups, size))
    require_shape("mask", mask, (groups, width))
    masked = (~mask[:, 0]).nonzero().flatten().tolist()
    if masked:
        raise ValueError(f"groups {masked} mask their positive (candidate 0)")
