"""Sizes and seeds of the experiment, and what is refused."""

import pytest

from experiments.two_by_two.plan import ExperimentPlan, parse_seeds


@pytest.mark.parametrize(("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("3", [3]), ("0, 2,5-6", [0, 2, 5, 6])])
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "4-0", "0,0", "0-2,1", "1.5"])
def test_what_names_no_seeds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="seeds: "):
        parse_seeds(text)


@pytest.mark.parametrize(("sizes", "message"), [({"size": 0}, "size must"), ({"fresh_images": 1}, "fresh-images must")])
def test_sizes_of_nothing_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExperimentPlan(**sizes)
