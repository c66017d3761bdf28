"""Contrasts by log-likelihood and the choice of tokens, against sums written out and closed forms of gradients."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lightning_c3l.functional.preference import (
    largest_share,
    pair_dpo,
    pair_info_nce,
    parting_tokens,
    text_logp,
    visual_weights,
)

# two groups: one of three negatives, one of a single negative; nan where there is no pair
POSITIVE = [[-1.0, -1.0, -1.0], [-2.0, math.nan, math.nan]]
NEGATIVE = [[-1.5, -0.5, -3.0], [-1.0, math.nan, math.nan]]
REAL = [[True, True, True], [True, False, False]]


def tables() -> tuple[Tensor, Tensor, Tensor]:
    positive, negative = (torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in (POSITIVE, NEGATIVE))
    return positive, negative, torch.tensor(REAL)


def pairs(group: int) -> list[tuple[float, float]]:
    return [(POSITIVE[group][k], NEGATIVE[group][k]) for k in range(3) if REAL[group][k]]


def test_text_logp_is_a_sum_or_a_mean() -> None:
    logp, mask = torch.tensor([[-1.0, -3.0, math.nan], [math.inf, -0.5, -1.0]]), torch.tensor([[1, 1, 0], [0, 1, 1]])
    assert text_logp(logp, mask, length_normalised=False).tolist() == [-4.0, -1.5]
    assert text_logp(logp, mask, length_normalised=True).tolist() == [-2.0, -0.75]
    with pytest.raises(ValueError, match=r"rows \[0\] have no token"):
        text_logp(torch.zeros(1, 2), torch.zeros(1, 2), length_normalised=False)


def test_info_nce_is_the_softmax_of_the_positive() -> None:
    positive, negative, real = tables()
    loss = pair_info_nce(positive, negative, real, temperature=0.5)
    for group in range(2):
        powers = [math.exp(pairs(group)[0][0] / 0.5), *(math.exp(n / 0.5) for _, n in pairs(group))]
        assert float(loss.detach()[group]) == pytest.approx(-math.log(powers[0] / sum(powers)), rel=1e-12)
        shares = [power / sum(powers) / 0.5 for power in powers[1:]]
        (gradient,) = torch.autograd.grad(loss[group], negative, retain_graph=True)
        # of a softmax: each negative's probability, divided by tau
        assert gradient[group][: len(shares)].tolist() == pytest.approx(shares, rel=1e-12)
        assert gradient[group][len(shares) :].tolist() == [0.0] * (3 - len(shares))


def test_info_nce_takes_another_positive_in_each_pair() -> None:
    positive, negative = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 2.5]])
    expected = math.log(1 + math.exp((0.5 - 1.0) / 0.2) + math.exp((2.5 - 2.0) / 0.2))
    assert float(pair_info_nce(positive, negative, torch.ones(1, 2), 0.2)) == pytest.approx(expected, rel=1e-6)


def test_dpo_is_the_mean_logistic_loss() -> None:
    positive, negative, real = tables()
    loss = pair_dpo(positive, negative, real, beta=0.3)
    for group in range(2):
        own = pairs(group)
        expected = [-math.log(1 / (1 + math.exp(-0.3 * (p - n)))) for p, n in own]
        assert float(loss.detach()[group]) == pytest.approx(sum(expected) / len(own), rel=1e-12)
        (gradient,) = torch.autograd.grad(loss[group], negative, retain_graph=True)
        slopes = [0.3 / (1 + math.exp(0.3 * (p - n))) / len(own) for p, n in own]
        assert gradient[group][: len(own)].tolist() == pytest.approx(slopes, rel=1e-12)
        assert gradient[group][len(own) :].tolist() == [0.0] * (3 - len(own))


@pytest.mark.parametrize("form", [lambda *x: pair_dpo(*x, beta=0.1), lambda *x: pair_info_nce(*x, temperature=0.2)])
def test_a_group_without_negatives_has_no_loss(form: Callable[..., Tensor]) -> None:
    for width in (0, 2):
        empty = torch.full((1, width), math.nan, requires_grad=True)
        loss = form(empty, empty, torch.zeros(1, width))
        assert loss.tolist() == [0.0]
        torch.autograd.backward(loss.sum())
        assert empty.grad is not None
        assert empty.grad.tolist() == [[0.0] * width]
    with pytest.raises(ValueError, match=r"negative has shape \(1, 2\)"):
        form(torch.zeros(1, 3), torch.zeros(1, 2), torch.ones(1, 3))


def test_the_largest_share_is_rounded_up() -> None:
    values = torch.tensor([[1.0, 5.0, math.nan, 3.0, 2.0], [math.inf, 1.0, 1.0, 1.0, math.nan]])
    mask = torch.tensor([[1, 1, 0, 1, 1], [0, 1, 1, 1, 0]]).bool()
    chosen = largest_share(values, mask, 0.5)  # two of four; two of three, of which the first two
    assert chosen.tolist() == [[False, True, False, True, False], [False, True, True, False, False]]
    assert largest_share(values, mask, 0.01).sum(1).tolist() == [1, 1]
    assert largest_share(values, mask, 1e-9).sum(1).tolist() == [1, 1]
    assert torch.equal(largest_share(values, mask, 1.0), mask)
    # 0.7 * 10 is above 7 in floating point
    assert int(largest_share(torch.arange(10.0)[None], torch.ones(1, 10), 0.7).sum()) == 7


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([7, 8, 9], [7, 8, 5], (2, 2)),
        ([7, 8], [7, 8, 5], (1, 2)),  # ends where the other goes on
        ([7, 8], [7, 8], (1, 1)),
        ([4], [5, 6], (0, 0)),
    ],
)
def test_texts_part_at_their_first_unequal_token(one: list[int], other: list[int], expected: tuple[int, int]) -> None:
    """Wherever they stand in their rows."""
    rows = torch.full((2, 6), 3)
    mask = torch.zeros(2, 6, dtype=torch.bool)
    for row, (text, start) in enumerate(((one, 1), (other, 3))):
        rows[row, start : start + len(text)], mask[row, start : start + len(text)] = torch.tensor(text), True
    first, second = parting_tokens(rows[:1], mask[:1], rows[1:], mask[1:])
    assert (int(first), int(second)) == (expected[0] + 1, expected[1] + 3)


def test_no_pair_of_texts_parts_nowhere() -> None:
    none = torch.zeros(0, 4, dtype=torch.long)
    first, second = parting_tokens(none, none, none, none)
    assert first.shape == second.shape == (0,)


def test_visual_weights_are_shares_of_what_tokens_owe() -> None:
    p, q = [0.9, 0.5, 0.2, 0.6], [0.3, 0.5, 0.4, 0.2]
    logp, logq = torch.tensor([[*map(math.log, p), math.nan], [-1.0, -2.0, -1.0, math.nan, 0.0]]), torch.zeros(2, 5)
    logq[0] = torch.tensor([*map(math.log, q), 0.0])
    mask = torch.tensor([[True] * 4 + [False], [True] * 3 + [False] * 2])
    owed = [max(0.0, one * math.log(one / two)) for one, two in zip(p, q, strict=True)]
    expected = [0.5 + 0.5 * one / (sum(owed) / 4) for one in owed]
    weights = visual_weights(logp, logq, mask)
    assert weights[0].tolist() == pytest.approx([*expected, 0.0], abs=1e-6)
    assert weights[1].tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]  # less likely with the image than without
    assert float(weights[0].sum()) == pytest.approx(4.0, rel=1e-6)
