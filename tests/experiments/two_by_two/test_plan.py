"""World, sizes and seeds of the experiment, and what is refused."""

import pytest

from experiments.two_by_two.plan import ExperimentPlan, parse_seeds
from lightning_c3l.cli.two_by_two import main


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


def test_each_world_starts_from_its_own_base() -> None:
    assert (ExperimentPlan().world, ExperimentPlan().base) == ("park", "shipped:park")
    assert ExperimentPlan(world="corners").base == "shipped:scenes"


def test_no_process_is_none(tmp_path) -> None:
    with pytest.raises(ValueError, match="--workers: must be at least 1, not 0"):
        main(["--out", str(tmp_path / "out"), "--workers", "0"])
    assert not (tmp_path / "out").exists()
