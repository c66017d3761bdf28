"""The losses, their values and gradients, against closed forms and finite differences."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lightning_c3l.functional.losses import (
    ContrastivePseudoLabelLoss,
    c3l_loss,
    contrastive_pseudo_label_loss,
    sequence_nll,
)
from tests.helpers.ranks import run_ranks


def _angles(*degrees: float) -> Tensor:
    """Unit vectors of the plane at these angles, `[len, 2]`."""
    radians = [math.radians(d) for d in degrees]
    return torch.tensor([[math.cos(r), math.sin(r)] for r in radians], dtype=torch.float64)


def _by_hand(cosines: list[float], temperature: float) -> float:
    """The loss of one group from its cosines, the positive first."""
    powers = [math.exp(c / temperature) for c in cosines]
    return -math.log(powers[0] / sum(powers))


def _cos(*degrees: float) -> list[float]:
    return [math.cos(math.radians(d)) for d in degrees]


# --- sequence_nll


def test_sequence_nll_value_and_gradient() -> None:
    logp = torch.tensor([[-1.0, -3.0, math.nan], [-0.5, math.inf, -math.inf]], requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    loss = sequence_nll(logp, mask)
    assert loss.tolist() == [2.0, 0.5]
    torch.autograd.backward(loss.sum())
    assert logp.grad is not None
    assert logp.grad.tolist() == [[-0.5, -0.5, 0.0], [-1.0, 0.0, 0.0]]


def test_sequence_nll_reduces_half_precision_in_float32() -> None:
    logp = torch.full((1, 4000), -0.125, dtype=torch.bfloat16)
    loss = sequence_nll(logp, torch.ones(1, 4000, dtype=torch.bool))
    assert (loss.dtype, loss.item()) == (torch.float32, 0.125)


def test_sequence_nll_names_rows_without_tokens() -> None:
    with pytest.raises(ValueError, match=r"\[0, 2\].*supervised"):
        sequence_nll(torch.zeros(3, 2), torch.tensor([[0, 0], [0, 1], [0, 0]]).bool())
    with pytest.raises(ValueError, match=r"\(3, 1\).*\(3, 2\)"):
        sequence_nll(torch.zeros(3, 2), torch.ones(3, 1).bool())


# --- contrastive_pseudo_label_loss


def test_contrastive_closed_form() -> None:
    # Lengths must not matter: only directions do.
    anchor = 3.0 * _angles(0)
    candidates = (_angles(60, 90, 180) * torch.tensor([[1.0], [5.0], [0.1]])).unsqueeze(0)
    mask = torch.ones(1, 3, dtype=torch.bool)
    loss = contrastive_pseudo_label_loss(anchor, candidates, mask, temperature=0.5)
    assert loss.tolist() == pytest.approx([_by_hand([0.5, 0.0, -1.0], 0.5)])


def test_equal_candidates_cost_the_log_of_their_number() -> None:
    candidates = _angles(20).expand(1, 4, 2)
    loss = contrastive_pseudo_label_loss(_angles(0), candidates, torch.ones(1, 4).bool(), 0.2)
    assert loss.tolist() == pytest.approx([math.log(4)])


def test_gradient_with_respect_to_the_positives_angle() -> None:
    # One negative at 90 degrees: L(t) = -log sigmoid(cos t / tau),
    # dL/dt = sin t / tau * (1 - sigmoid(cos t / tau)).
    tau, degrees = 0.5, 40.0
    angle = torch.tensor(math.radians(degrees), dtype=torch.float64, requires_grad=True)
    candidates = torch.stack([torch.stack([angle.cos(), angle.sin()]), _angles(90)[0]]).unsqueeze(0)
    torch.autograd.backward(contrastive_pseudo_label_loss(_angles(0), candidates, torch.ones(1, 2).bool(), tau).sum())
    t = math.radians(degrees)
    expected = math.sin(t) / tau * (1 - 1 / (1 + math.exp(-math.cos(t) / tau)))
    assert angle.grad is not None
    assert angle.grad.item() == pytest.approx(expected)


@pytest.mark.parametrize("junk", [0.0, 7.0, math.nan, math.inf])
def test_masked_candidates_leak_neither_value_nor_gradient(junk: float) -> None:
    anchor = _angles(0, 10).requires_grad_()
    candidates = torch.full((2, 3, 2), junk, dtype=torch.float64)
    candidates[0] = _angles(30, 60, 90)
    candidates[1, 0] = _angles(50)
    candidates.requires_grad_()
    mask = torch.tensor([[True, True, True], [True, False, False]])
    loss = contrastive_pseudo_label_loss(anchor, candidates, mask, 0.2)
    assert loss.tolist() == pytest.approx([_by_hand(_cos(30, 60, 90), 0.2), 0.0])
    torch.autograd.backward(loss.sum())
    assert anchor.grad is not None
    assert candidates.grad is not None
    assert bool(anchor.grad.isfinite().all())
    assert candidates.grad[1].tolist() == [[0.0, 0.0]] * 3
    assert bool((candidates.grad[0] != 0).any(dim=-1).all())


def test_cross_group_counts_all_real_candidates() -> None:
    anchor = _angles(0, 90)
    candidates = torch.stack([_angles(30, 60), _angles(80, 200)])
    mask = torch.tensor([[True, True], [True, False]])
    loss = contrastive_pseudo_label_loss(anchor, candidates, mask, 0.3, cross_group=True)
    assert loss.tolist() == pytest.approx(
        [_by_hand(_cos(30, 60, 80), 0.3), _by_hand(_cos(10, 60, 30), 0.3)],
    )


@pytest.mark.parametrize("cross_group", [False, True])
def test_contrastive_gradients_match_finite_differences(cross_group: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    anchor = torch.randn(3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    candidates = torch.randn(3, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]]).bool()

    def loss(a: Tensor, c: Tensor) -> Tensor:
        return contrastive_pseudo_label_loss(a, c, mask, 0.2, cross_group)

    assert torch.autograd.gradcheck(loss, (anchor, candidates))


def test_a_tiny_temperature_stays_finite() -> None:
    # exp(1 / 0.001) overflows; the difference of the exponents is what counts:
    # log(1 + e^(1000 (cos 0 - cos 90))).
    candidates = _angles(90, 0).float().unsqueeze(0)
    loss = contrastive_pseudo_label_loss(_angles(0).float(), candidates, torch.ones(1, 2).bool(), 0.001)
    assert loss.tolist() == pytest.approx([1000.0], rel=1e-4)


def test_autocast_does_not_coarsen_the_cosines() -> None:
    generator = torch.Generator().manual_seed(3)
    anchor, candidates = torch.randn(2, 32, generator=generator), torch.randn(2, 3, 32, generator=generator)
    mask = torch.ones(2, 3).bool()
    exact = contrastive_pseudo_label_loss(anchor.double(), candidates.double(), mask, 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = contrastive_pseudo_label_loss(anchor, candidates, mask, 0.05)
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-5)


def test_zero_vectors_have_finite_gradients() -> None:
    anchor = torch.zeros(1, 2, requires_grad=True)
    candidates = _angles(0, 90).float().unsqueeze(0).requires_grad_()
    loss = contrastive_pseudo_label_loss(anchor, candidates, torch.ones(1, 2).bool(), 0.2)
    assert loss.tolist() == pytest.approx([math.log(2)])
    torch.autograd.backward(loss.sum())
    assert anchor.grad is not None
    assert bool(anchor.grad.isfinite().all())


def test_contrastive_rejects_bad_input() -> None:
    anchor, candidates, mask = torch.zeros(2, 3), torch.zeros(2, 4, 3), torch.ones(2, 4).bool()
    with pytest.raises(ValueError, match="temperature"):
        contrastive_pseudo_label_loss(anchor, candidates, mask, 0.0)
    with pytest.raises(ValueError, match=r"anchor.*\(2, 4\).*\(2, 3\)"):
        contrastive_pseudo_label_loss(torch.zeros(2, 4), candidates, mask, 0.2)
    with pytest.raises(ValueError, match=r"mask.*\(2, 3\).*\(2, 4\)"):
        contrastive_pseudo_label_loss(anchor, candidates, mask[:, :3], 0.2)
    with pytest.raises(ValueError, match=r"\[G, K, D\]"):
        contrastive_pseudo_label_loss(anchor, candidates[0], mask, 0.2)
    with pytest.raises(ValueError, match=r"groups \[1\]"):
        contrastive_pseudo_label_loss(anchor, candidates, mask & torch.tensor([[True], [False]]), 0.2)


# --- ContrastivePseudoLabelLoss


def _head(**kwargs: float) -> ContrastivePseudoLabelLoss:
    """H = 2, D = 2, W = [[1, 0], [0, -1]], b = [0, 1]."""
    head = ContrastivePseudoLabelLoss(2, 2, **kwargs)  # type: ignore[arg-type]
    with torch.no_grad():
        head.projection.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        head.projection.bias.copy_(torch.tensor([0.0, 1.0]))
    return head


def test_project_closed_form() -> None:
    # ReLU before the mean: tokens (2, 3) -> (2, 0), (-4, 0) -> (0, 1); their mean is (1, 1/2).
    hidden = torch.tensor([[[2.0, 3.0], [-4.0, 0.0]], [[1.0, -1.0], [math.nan, math.inf]]])
    mask = torch.tensor([[True, True], [True, False]])
    assert _head().project(hidden, mask).tolist() == [[1.0, 0.5], [1.0, 2.0]]


def test_project_gradient_skips_masked_tokens() -> None:
    head = _head()
    hidden = torch.tensor([[[2.0, 3.0], [5.0, -1.0], [math.nan, math.nan]]], requires_grad=True)
    torch.autograd.backward(head.project(hidden, torch.tensor([[True, True, False]])).sum())
    # d/dh of mean(ReLU(W h + b)): rows of W of the units that are on, halved.
    assert hidden.grad is not None
    assert hidden.grad.tolist() == [[[0.5, 0.0], [0.5, -0.5], [0.0, 0.0]]]
    # d/dW: unit 0 is on for both tokens, unit 1 for the second alone.
    assert head.projection.weight.grad is not None
    assert head.projection.weight.grad.tolist() == [[3.5, 1.0], [2.5, -0.5]]


def test_project_takes_half_precision_hidden_states() -> None:
    hidden = torch.tensor([[[2.0, 3.0]]], dtype=torch.bfloat16)
    out = _head().project(hidden, torch.tensor([[True]]))
    assert (out.dtype, out.tolist()) == (torch.float32, [[2.0, 0.0]])


def test_project_rejects_bad_input() -> None:
    with pytest.raises(ValueError, match=r"rows \[1\]"):
        _head().project(torch.zeros(2, 3, 2), torch.tensor([[1, 0, 0], [0, 0, 0]]).bool())
    with pytest.raises(ValueError, match=r"\[B, L, 2\]"):
        _head().project(torch.zeros(2, 3, 5), torch.ones(2, 3).bool())
    with pytest.raises(ValueError, match="mask"):
        _head().project(torch.zeros(2, 3, 2), torch.ones(2, 4).bool())


@pytest.mark.parametrize("cross_group", [False, True])
def test_module_on_one_rank_follows_its_settings(cross_group: bool) -> None:
    candidates = torch.stack([_angles(30, 60), _angles(80, 100)])
    head = ContrastivePseudoLabelLoss(2, 2, temperature=0.4, cross_group=cross_group)
    loss = head(_angles(0, 90), candidates, torch.ones(2, 2).bool())
    inside = [_cos(30, 60), _cos(10, 10)]
    others = [_cos(80, 100), _cos(60, 30)] if cross_group else [[], []]
    assert loss.tolist() == pytest.approx([_by_hand(inside[g] + others[g], 0.4) for g in range(2)])


@pytest.mark.parametrize(
    "arguments",
    [
        {"hidden_size": 0},
        {"projection_size": 0},
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": math.nan},
    ],
)
def test_module_validates(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        ContrastivePseudoLabelLoss(**{"hidden_size": 4, **arguments})  # type: ignore[arg-type]


# --- two ranks


def _joined() -> tuple[Tensor, Tensor, Tensor]:
    """Three groups of up to three candidates: hidden-size 3 anchors, candidates and mask."""
    generator = torch.Generator().manual_seed(7)
    anchor = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    candidates = torch.randn(3, 3, 3, generator=generator, dtype=torch.float64)
    return anchor, candidates, torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]]).bool()


def _backward(anchor: Tensor, candidates: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Loss of each group and the gradients of their sum: anchor, candidates and a shared weight."""
    weight = torch.eye(3, dtype=torch.float64).requires_grad_()
    anchor, candidates = anchor.clone().requires_grad_(), candidates.clone().requires_grad_()
    head = ContrastivePseudoLabelLoss(3, 3, temperature=0.3, cross_group=True)
    loss: Tensor = head(anchor @ weight, candidates @ weight, mask)
    by_anchor, by_candidates, by_weight = torch.autograd.grad(loss.sum(), (anchor, candidates, weight))
    return loss.detach(), by_anchor, by_candidates, by_weight


def _contrast_on_rank(rank: int, folder: str) -> None:
    anchor, candidates, mask = _joined()
    # Ranks hold different numbers of groups and of candidates: 2 x 2 and 1 x 3.
    rows, width = (slice(0, 2), 2) if rank == 0 else (slice(2, 3), 3)
    torch.save(_backward(anchor[rows], candidates[rows, :width], mask[rows, :width]), Path(folder, f"{rank}.pt"))


def test_two_ranks_equal_one_rank_on_the_joined_batch(tmp_path: Path) -> None:
    anchor, candidates, mask = _joined()
    loss, anchor_grad, candidate_grad, weight_grad = _backward(anchor, candidates, mask)
    run_ranks(_contrast_on_rank, str(tmp_path))
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    torch.testing.assert_close(torch.cat([first[0], second[0]]), loss)
    torch.testing.assert_close(torch.cat([first[1], second[1]]), anchor_grad)
    torch.testing.assert_close(first[2], candidate_grad[:2, :2])
    torch.testing.assert_close(second[2], candidate_grad[2:])
    # What data parallel training sums over ranks.
    torch.testing.assert_close(first[3] + second[3], weight_grad)
    # The other rank's candidates do change the loss, so the comparison above is no tautology.
    alone = _backward(anchor[2:], candidates[2:], mask[2:])[0]
    assert (second[0] - alone).abs().item() > 1e-3


# --- c3l_loss


def test_c3l_loss_closed_form_and_gradient() -> None:
    write = torch.tensor([2.0, 4.0], requires_grad=True)
    answer = torch.tensor([1.0, 3.0], requires_grad=True)
    contrastive = torch.tensor([0.5, 1.5], requires_grad=True)
    loss = c3l_loss(write, answer, contrastive, torch.tensor([2.0, 0.5]), nll_weight=0.8, contrastive_weight=0.3)
    # ((2 * 0.8 * 1.5 + 0.3 * 0.5) + (0.5 * 0.8 * 3.5 + 0.3 * 1.5)) / 2
    assert loss.item() == pytest.approx((2.4 + 0.15 + 1.4 + 0.45) / 2)
    torch.autograd.backward(loss)
    grads = [x.grad for x in (write, answer, contrastive)]
    expected = [[0.4, 0.1], [0.4, 0.1], [0.15, 0.15]]
    for grad, values in zip(grads, expected, strict=True):
        assert grad is not None
        assert grad.tolist() == pytest.approx(values)


def test_c3l_loss_rejects_bad_input() -> None:
    x = torch.ones(2)
    with pytest.raises(ValueError, match="weights"):
        c3l_loss(x, x, x, torch.ones(3), 1.0, 1.0)
    with pytest.raises(ValueError, match="answer_nll"):
        c3l_loss(x, torch.ones(2, 1), x, x, 1.0, 1.0)
    with pytest.raises(ValueError, match="at least one group"):
        c3l_loss(x[:0], x[:0], x[:0], x[:0], 1.0, 1.0)
    for factors in ((-1.0, 1.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="below 0"):
            c3l_loss(x, x, x, x, *factors)
