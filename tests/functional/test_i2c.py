"""The four readings of S(I2C) against values worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from lightning_c3l.functional.i2c import (
    Readings,
    all_readings,
    answer_reading,
    gap_reading,
    positions_reading,
    token_kl,
    vocabulary_reading,
)
from lightning_c3l.records import READINGS

LN2 = math.log(2.0)


def _log(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).log()


# Two answer tokens: p = (1/2, 1/4), q = (1/4, 1/4).
LOGP, LOGQ = _log([0.5, 0.25]), _log([0.25, 0.25])
BOTH = torch.ones(1, 2, dtype=torch.bool)
# for the readings that take no divergence
NOT_READ = torch.full((1, 1), math.nan)


def test_readings_are_named_in_order() -> None:
    assert READINGS == ("answer", "positions", "vocabulary", "gap")
    assert Readings._fields[:4] == READINGS


def test_answer_reading_closed_form() -> None:
    # (1/2)(1/2 ln 2 + 1/4 ln 1)
    assert answer_reading(LOGP, LOGQ, NOT_READ, BOTH).tolist() == pytest.approx([LN2 / 4])


def test_answer_reading_is_signed() -> None:
    # (1/2)(1/4 ln 1/2 + 0): the image made the answer less likely.
    assert answer_reading(LOGQ, LOGP, NOT_READ, BOTH).tolist() == pytest.approx([-LN2 / 8])


def test_positions_reading_closed_form() -> None:
    # p/sum = (2/3, 1/3), q/sum = (1/2, 1/2)
    expected = 2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)
    assert positions_reading(LOGP, LOGQ, NOT_READ, BOTH).tolist() == pytest.approx([expected])


def test_positions_reading_of_one_token_is_exactly_zero() -> None:
    logp, logq = torch.tensor([[-0.3, 5.0]]), torch.tensor([[-7.1, math.nan]])
    assert positions_reading(logp, logq, NOT_READ, torch.tensor([[True, False]])).tolist() == [0.0]


def test_positions_reading_ignores_a_common_factor() -> None:
    assert positions_reading(LOGP, LOGP - 3.0, NOT_READ, BOTH).tolist() == pytest.approx([0.0], abs=1e-12)
    assert answer_reading(LOGP, LOGP - 3.0, NOT_READ, BOTH).tolist() == pytest.approx([3 * (0.5 + 0.25) / 2])


def test_gap_reading_closed_form() -> None:
    assert gap_reading(LOGP, LOGQ, NOT_READ, BOTH).tolist() == pytest.approx([LN2 / 2])


def test_token_kl_closed_form() -> None:
    image, blind = _log([0.5, 0.5]), _log([0.75, 0.25])
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    # Raw logits: adding a constant changes no distribution.
    assert token_kl(image + 4.0, blind - 2.0).tolist() == pytest.approx([expected])
    backwards = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert token_kl(blind, image).tolist() == pytest.approx([backwards])


def test_token_kl_keeps_the_leading_shape_and_never_goes_below_zero() -> None:
    logits = torch.randn(3, 5, 11, generator=torch.Generator().manual_seed(0))
    kl = token_kl(logits, logits + 1.7)
    assert kl.shape == (3, 5)
    assert bool((kl >= 0).all())
    assert kl.max().item() < 1e-6


def test_token_kl_skips_entries_that_both_sides_rule_out() -> None:
    # A padded vocabulary carries -inf on both sides; 0 * (-inf + inf) must not become nan.
    image, blind = torch.tensor([0.0, 0.0, -math.inf]), torch.tensor([LN2, 0.0, -math.inf])
    expected = 0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3))
    assert token_kl(image, blind).item() == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_token_kl_reduces_in_float32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(4, 1000, generator=generator).to(dtype)
    blind = torch.randn(4, 1000, generator=generator).to(dtype)
    kl = token_kl(image, blind)
    exact = token_kl(image.double(), blind.double())
    assert kl.dtype == torch.float32
    assert exact.dtype == torch.float64
    torch.testing.assert_close(kl.double(), exact, rtol=1e-4, atol=1e-5)


def test_vocabulary_reading_is_the_mean_over_answer_tokens() -> None:
    kl = torch.tensor([[1.0, 3.0, math.inf], [0.5, math.nan, math.nan]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert vocabulary_reading(kl, kl, kl, mask).tolist() == [2.0, 0.5]


def test_all_readings_agree_with_the_hand_values() -> None:
    result = all_readings(LOGP, LOGQ, torch.tensor([[0.25, 0.75]], dtype=torch.float64), BOTH)
    assert result.answer.tolist() == pytest.approx([LN2 / 4])
    assert result.gap.tolist() == pytest.approx([LN2 / 2])
    assert result.vocabulary.tolist() == pytest.approx([0.5])
    assert result.positions.item() == pytest.approx(2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3))
    assert result.mean_logp.tolist() == pytest.approx([-1.5 * LN2])
    assert result.mean_logq.tolist() == pytest.approx([-2 * LN2])
    assert result.tokens.tolist() == [2]
    assert result.tokens.dtype == torch.int64


@pytest.mark.parametrize("junk", [0.0, 50.0, math.nan, math.inf, -math.inf])
def test_masked_positions_do_not_leak(junk: float) -> None:
    pad = torch.full((1, 2), junk, dtype=torch.float64)
    mask = torch.tensor([[False, True, True, False]])
    logp, logq, kl = (torch.cat([pad[:, :1], x, pad[:, 1:]], dim=1) for x in (LOGP, LOGQ, -LOGP))
    padded, plain = all_readings(logp, logq, kl, mask), all_readings(LOGP, LOGQ, -LOGP, BOTH)
    for left, right in zip(padded, plain, strict=True):
        torch.testing.assert_close(left, right)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    generator = torch.Generator().manual_seed(2)
    logp, logq = -torch.rand(3, 6, generator=generator), -torch.rand(3, 6, generator=generator)
    kl = torch.rand(3, 6, generator=generator)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1]]).bool()
    batch = all_readings(logp, logq, kl, mask)
    logp[0] = logq[0] = kl[0] = math.nan
    poisoned = all_readings(logp, logq, kl, mask)
    for left, right in zip(batch, poisoned, strict=True):
        torch.testing.assert_close(left[1:], right[1:])
    alone = all_readings(logp[1:2, :2], logq[1:2, :2], kl[1:2, :2], mask[1:2, :2])
    for left, right in zip(batch, alone, strict=True):
        torch.testing.assert_close(left[1:2], right, rtol=1e-5, atol=1e-6)


def test_a_token_of_zero_probability_adds_nothing_to_the_answer_reading() -> None:
    # x ln x -> 0: the term of a token the image rules out vanishes.
    logp, logq = torch.tensor([[-math.inf, -LN2]]), torch.tensor([[-1.0, -2 * LN2]])
    assert answer_reading(logp, logq, NOT_READ, BOTH).tolist() == pytest.approx([LN2 / 4])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    result = all_readings(LOGP.to(dtype), LOGQ.to(dtype), LOGP.abs().to(dtype), BOTH)
    assert {t.dtype for t in result[:6]} == {torch.float32}
    # The sum of a thousand tokens would lose digits in half precision.
    long = torch.full((1, 1000), -0.1, dtype=dtype)
    mean = gap_reading(long, torch.zeros_like(long), NOT_READ, torch.ones(1, 1000, dtype=torch.bool))
    assert mean.item() == pytest.approx(long[0, 0].item(), rel=1e-5)


def test_a_row_without_answer_tokens_is_named() -> None:
    mask = torch.tensor([[True, True], [False, False], [True, False], [False, False]])
    x = torch.zeros(4, 2)
    for call in (answer_reading, positions_reading, gap_reading):
        with pytest.raises(ValueError, match=r"\[1, 3\]"):
            call(x, x, NOT_READ, mask)
    with pytest.raises(ValueError, match=r"\[1, 3\]"):
        vocabulary_reading(x, x, x, mask)
    with pytest.raises(ValueError, match=r"\[1, 3\]"):
        all_readings(x, x, x, mask)


def test_shape_mismatches_name_both_shapes() -> None:
    x, y = torch.zeros(2, 3), torch.zeros(2, 4)
    mask = torch.ones(2, 3, dtype=torch.bool)
    for call in (answer_reading, positions_reading, gap_reading):
        with pytest.raises(ValueError, match=r"\(2, 4\).*\(2, 3\)"):
            call(x, y, NOT_READ, mask)
        with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
            call(x, x, NOT_READ, torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"\(2, 4\).*\(2, 3\)"):
        vocabulary_reading(x, x, y, mask)
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        token_kl(x, y)
    with pytest.raises(ValueError, match=r"\(2, 4\).*\(2, 3\)"):
        all_readings(x, x, y, mask)
    with pytest.raises(ValueError, match=r"\[B, T\]"):
        gap_reading(x[0], x[0], x[0], mask[0])
