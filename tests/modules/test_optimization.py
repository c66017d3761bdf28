"""The learning rate against its closed form, and what is decayed."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from lightning_c3l.modules.optimization import OptimizerConfig


def rates(options: OptimizerConfig, steps: int) -> list[float]:
    """Learning rate of each step, as the optimizer sees it."""
    parts: Any = options.configure([nn.Parameter(torch.ones(2, 2))], lambda: steps)
    optimizer, scheduler = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    assert parts["lr_scheduler"]["interval"] == "step"
    out = list[float]()
    for _ in range(steps):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return out


def test_constant() -> None:
    assert rates(OptimizerConfig(learning_rate=0.5), 4) == [0.5] * 4


def test_warm_up_is_a_line_that_never_starts_at_nothing() -> None:
    assert rates(OptimizerConfig(learning_rate=1.0, warmup_steps=4), 6) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_cosine_runs_from_the_peak_to_its_final_share() -> None:
    options = OptimizerConfig(learning_rate=2.0, schedule="cosine", final_share=0.1)
    expected = [2 * (0.1 + 0.9 * (1 + math.cos(math.pi * step / 8)) / 2) for step in range(8)]
    assert rates(options, 8) == pytest.approx(expected)
    assert options.share(4, lambda: 8) == pytest.approx(0.55)
    assert options.share(8, lambda: 8) == pytest.approx(0.1)
    assert options.share(99, lambda: 8) == pytest.approx(0.1)


def test_warm_up_and_cosine_multiply() -> None:
    options = OptimizerConfig(warmup_steps=4, schedule="cosine", final_share=0.0)
    assert options.share(2, lambda: 4) == pytest.approx(0.75 * 0.5)


def test_the_length_is_not_asked_for_before_the_first_step() -> None:
    def unknown() -> int:
        raise AssertionError

    assert OptimizerConfig(schedule="cosine", warmup_steps=2).share(0, unknown) == 0.5
    assert OptimizerConfig(schedule="constant").share(5, unknown) == 1.0


def test_a_run_of_no_step_divides_by_nothing() -> None:
    assert 0 <= OptimizerConfig(schedule="cosine").share(1, lambda: 0) <= 1


def test_decay_is_for_matrices_and_frozen_weights_stay_out() -> None:
    matrix, gain, frozen = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2, 2))
    frozen.requires_grad_(False)
    parts: Any = OptimizerConfig(weight_decay=0.1, beta2=0.95).configure([matrix, gain, frozen], lambda: 1)
    decay = {id(p): g["weight_decay"] for g in parts["optimizer"].param_groups for p in g["params"]}
    assert decay == {id(matrix): 0.1, id(gain): 0.0}
    assert {g["betas"] for g in parts["optimizer"].param_groups} == {(0.9, 0.95)}


@pytest.mark.parametrize("wrong", [{"learning_rate": 0.0}, {"weight_decay": -1.0}, {"warmup_steps": -1}])
def test_rates_that_cannot_train_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        OptimizerConfig(**wrong)
