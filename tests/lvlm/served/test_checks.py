"""Comparisons of probe answers by hand-made figures, and the images and texts of the probes."""

import pytest
import torch
from PIL import ImageOps

from lightning_c3l.lvlm.served.checks import Expectation, ProbeAnswers, WrongWeightsError, compare, probes

IDS = tuple((1, n) for n in range(8))


def answers(*means: float) -> ProbeAnswers:
    """Answers of two tokens each, whose distances from those of zero are the numbers."""
    return ProbeAnswers(IDS, tuple(torch.tensor([-mean - 1, -mean - 1]) for mean in means))


OWN = answers(*[0.0] * 8)
BASE = answers(*[0.4] * 8)
BEFORE = answers(*[0.25] * 8)


def adapter(**options: float) -> Expectation:
    return Expectation(OWN, {"base": BASE, "previous": BEFORE}, 0.02, is_base=False, **options)


def test_four_conversations_are_read_with_their_image_and_without() -> None:
    conversations = probes()
    assert [image is None for image, _ in conversations] == [False] * 4 + [True] * 4
    assert [turns for _, turns in conversations[:4]] == [turns for _, turns in conversations[4:]]
    assert len({turns for _, turns in conversations}) == 4


def test_images_differ_from_what_a_wrong_processor_makes_of_them() -> None:
    for image, _ in probes()[:4]:
        assert image is not None
        width, height = image.size
        assert width != height
        pixels, (red, _, blue) = image.tobytes(), image.split()
        assert pixels not in (ImageOps.mirror(image).tobytes(), ImageOps.flip(image).tobytes())
        assert red.tobytes() != blue.tobytes()


def test_the_larger_difference_counts_of_answers_with_and_without_image() -> None:
    off = compare("here", answers(*[0.004] * 4, *[0.012] * 4), adapter())
    assert off == pytest.approx(0.012, abs=1e-6)


@pytest.mark.parametrize(
    ("served", "cause"),
    [
        ([0.4] * 8, "those of the base"),
        ([0.25] * 8, "adapter before"),
        ([0.0] * 3 + [0.4] * 2 + [0.0] * 3, "mixes the base and adapters"),
        ([3.0] * 4 + [0.0] * 4, "vision tower or projector is ignored"),
        ([1.1, 2.3, 1.4, 3.0] * 2, "another adapter under this name"),
    ],
)
def test_the_likely_cause_is_named(served: list[float], cause: str) -> None:
    with pytest.raises(WrongWeightsError, match=cause):
        compare("here", answers(*served), adapter())


@pytest.mark.parametrize(
    ("served", "cause"),
    [
        ([2.0] * 4 + [0.0] * 4, "preprocesses images in another way"),
        ([0.1] * 8, "another precision"),
        ([1.0] * 8, "another base"),
        ([1.0, 2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0], "mixes the base and adapters"),
    ],
)
def test_the_likely_cause_is_named_for_the_base(served: list[float], cause: str) -> None:
    with pytest.raises(WrongWeightsError, match=cause):
        compare("here", answers(*served), Expectation(OWN, {}, 0.02, is_base=True))


def test_images_that_the_base_reads_in_another_way_too_are_not_blamed_on_the_tower() -> None:
    with pytest.raises(WrongWeightsError, match="preprocesses images in another way"):
        compare("here", answers(*[0.03] * 4, *[0.0] * 4), adapter(rounding=0.015))


def test_zeros_are_those_of_a_prefix_cache() -> None:
    zeros = ProbeAnswers(IDS, tuple(torch.zeros(2) for _ in IDS))
    with pytest.raises(WrongWeightsError, match="prefix cache"):
        compare("here", zeros, adapter())


def test_an_adapter_that_changes_little_must_not_be_ignored_either() -> None:
    """Below the tolerance, but nearer to the base: after a short training no tolerance tells the two apart."""
    little = Expectation(OWN, {"base": answers(*[0.01] * 8)}, 0.02, is_base=False, rounding=0.001)
    with pytest.raises(WrongWeightsError, match="those of the base"):
        compare("here", answers(*[0.0099] * 8), little)
    # as far off as the base itself was on this server: rounding
    noisy = Expectation(OWN, {"base": answers(*[0.003] * 8)}, 0.02, is_base=False, rounding=0.003)
    assert compare("here", answers(*[0.003] * 8), noisy) == pytest.approx(0.003, abs=1e-6)
