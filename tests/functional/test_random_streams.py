"""Streams of random numbers: those of earlier versions, since data sets are made again from their seeds."""

from random import Random

import pytest

from lightning_c3l.functional.random_streams import combined_seed, stream


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((7,), Random(7)),
        (("bench",), Random("bench")),
        (("images", 3, 0), Random("images 3 0")),
        (("open", "scene_1.png", "color"), Random("open scene_1.png color")),
    ],
)
def test_names_are_joined_by_spaces_and_one_seeds_as_it_is(names: tuple[object, ...], expected: Random) -> None:
    assert [stream(*names).random() for _ in range(2)] == [expected.random()] * 2


def test_neighbouring_names_share_nothing() -> None:
    drawn = {stream(*names).random() for names in ((1,), ("1",), ("a", 1), ("a", 2), ("b", 1), ("a", 1, 1))}
    assert len(drawn) == 6


def test_a_combined_seed_depends_on_every_number_and_fits() -> None:
    seeds = {combined_seed(a, b, c, bits=32) for a in range(8) for b in range(8) for c in range(8)}
    assert len(seeds) == 512
    assert all(0 <= one < 2**32 for one in seeds)
    assert combined_seed(0, 1) == hash((0, 1)) % 2**31
