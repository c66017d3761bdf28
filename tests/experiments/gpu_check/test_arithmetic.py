"""Counts of tokens and operations, and shares of a peak, against values computed by hand."""

import pytest

from experiments.gpu_check.arithmetic import (
    FROZEN_STEP,
    Parameters,
    Passes,
    generation_passes,
    nominal_peak,
    operations,
    scoring_passes,
    share,
    training_passes,
)


def test_generation_runs_prompts_once_and_each_written_token_but_the_last() -> None:
    # two images of 10 tokens behind a prompt of 3; three texts of 5 tokens each: 2 * 13 + 6 * 4 and 6 * 5
    assert generation_passes(2, 10, 3, 3, 5) == Passes(50, 30)


def test_scoring_runs_images_once_and_texts_twice() -> None:
    # two images of 10 tokens, texts of 40 tokens, 12 of them answers: 20 + 80 and 24
    assert scoring_passes(2, 10, 40, 12) == Passes(100, 24)


def test_training_runs_the_positives_a_second_time() -> None:
    # 20 tokens of images, 40 of candidates, 8 of positives, 5 of which are answers: 20 + 40 + 8 and 8 + 5
    assert training_passes(2, 10, 40, 8, 5) == Passes(68, 13)


def test_two_operations_for_each_parameter_and_token() -> None:
    parameters = Parameters(layers=1000, head=10)
    assert operations(parameters, Passes(3, 2)) == 2 * (3000 + 20)
    # forward and backward
    assert operations(parameters, Passes(3, 2), FROZEN_STEP) == 12_080


def test_a_seven_billion_model_at_a_thousand_tokens() -> None:
    # 2 x 6.476e9 x 1000 = 1.295e13 operations; in 20 ms that is 647.6 TFLOP/s, 65.5 % of 989.4
    done = operations(Parameters(6_476_267_520, 0), Passes(1000, 0))
    assert done == 12_952_535_040_000
    assert share(done, 0.02, 989.4e12) == pytest.approx(0.65457, abs=1e-5)


@pytest.mark.parametrize(
    ("device", "peak"), [("NVIDIA H200", 989.4e12), ("NVIDIA A100-SXM4-80GB", 312e12), ("CPU", None)]
)
def test_peaks_by_the_name_of_the_device(device: str, peak: float | None) -> None:
    assert nominal_peak(device) == peak
