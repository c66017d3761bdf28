"""The benchmarks of data in and out, on sets too small to say anything about speed."""

import json
from pathlib import Path

import pytest

from experiments.speed.set_scoring import bench_set_scoring
from lightning_c3l.cli.bench_data import main


def test_figures_of_all_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--images", "3", "--records", "70", "--repeats", "1"]) == 0
    found = json.loads((tmp_path / "bench-data.json").read_text())
    assert set(found) == {"loading", "converting", "scoring"}
    assert found["loading"]["relative"]["median"] > 0
    assert found["converting"]["median"] > 0
    assert found["scoring"]["records_per_second"] > 0
    assert "scoring.grown_mb" in capsys.readouterr().out


def test_sizes_that_nothing_can_be_measured_with(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--records must be at least 1"):
        main(["--out", str(tmp_path), "--records", "0"])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_set() -> None:
    assert bench_set_scoring(200_000)["grown_mb"] < 100
