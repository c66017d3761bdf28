"""Hours and cost from figures an item."""

from pathlib import Path
from typing import Any

import pytest

from experiments.engines.cost import GpuInputs, Plan, Seconds, table, tables

ROOT = Path(__file__).parents[3]


def test_hours_are_those_of_every_text_pair_and_group() -> None:
    plan = Plan(kinds=5, candidates=4)
    # 36,000 images: 720,000 texts at 0.01 s, as many pairs at 0.005 s, 180,000 groups at 0.02 s
    assert Seconds(0.01, 0.005, 0.02).hours(36_000, plan) == pytest.approx(2.0 + 1.0 + 1.0)


def test_a_table_divides_hours_by_devices_and_multiplies_them_by_the_price() -> None:
    lines = table({"generate": Seconds(generate=0.018)}, Plan(), "GPU", 3.0)
    assert lines[0] == "|  | images | texts | 1 GPU | 8 GPUs | 64 GPUs | cost |"
    # 2,000,000 texts at 0.018 s are 10 hours
    assert lines[2] == "| generate | 100,000 | 2,000,000 | 10 | 1.2 | 0.16 | 30 |"
    assert lines[3] == "| generate | 1,000,000 | 20,000,000 | 100 | 12 | 1.6 | 300 |"


def test_seconds_of_a_gpu_follow_from_operations_and_the_share_of_its_peak() -> None:
    # one parameter in the layers and none in the head: two operations a token
    inputs = GpuInputs("H100", layers=1, head=0, generate=0.5, score=0.5, train=0.25)
    plan = Plan(kinds=1, candidates=2, image_tokens=10, prompt=4, text=6, answer=3)
    found, rate = inputs.seconds(plan), 0.5 * 989.4e12
    # image and prompt once; each text but its last token, which is not read again
    assert found.generate == pytest.approx(2 * (14 + 2 * 5) / rate / 2)
    # the image once, each text twice
    assert found.score == pytest.approx(2 * (10 + 2 * 12) / rate / 2)
    # image, candidates and the positive once more, forward and backward
    assert found.train == pytest.approx(2 * 2 * (10 + 12 + 6) / (rate / 2))


@pytest.mark.parametrize("wrong", [{"gpu": "H1"}, {"generate": 0.0}, {"train": 1.5}, {"price": 0.0}, {"layers": 0}])
def test_assumptions_that_give_no_hours_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)) if "gpu" not in wrong else "H100"):
        GpuInputs(**wrong)
    with pytest.raises(ValueError, match="at least 1"):
        Plan(candidates=0)


def test_the_documentation_holds_the_tables_of_the_script() -> None:
    assert tables(GpuInputs(), Plan()) in (ROOT / "docs" / "engine-speed.md").read_text(encoding="utf-8")
