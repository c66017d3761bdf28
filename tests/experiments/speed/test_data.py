"""The benchmarks of data in and out, on sets too small to say anything about speed."""

import json
from pathlib import Path

import pytest
from PIL import Image

from data_modules.formats import read_records
from experiments.speed.data import bench_set_scoring, write_records
from experiments.speed.loading import bench_loading, write_photographs
from lightning_c3l.cli.bench_data import main
from lightning_c3l.cli.convert import Job, convert


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


def test_converted_records(tmp_path: Path) -> None:
    write_records(tmp_path / "x.jsonl", 30)
    assert 300 < (tmp_path / "x.jsonl").stat().st_size / 30 < 700
    values = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert {len(value["conversations"]) for value in values} == {2, 4}
    assert all(value["conversations"][0]["value"].startswith("<image>\n") for value in values)
    assert convert(Job(str(tmp_path / "x.jsonl"), tmp_path / "x.parquet")) == (30, 0)
    records = [entry.record for entry in read_records(tmp_path / "x.parquet")]
    assert all(record is not None and set(record.extra) == {"id"} for record in records)


def test_every_implementation_of_decoding_is_measured() -> None:
    found = bench_loading(images=3, size=(64, 48), longest_side=16, repeats=2)
    assert found.pop("images") == 3
    names = {"pillow", "pillow_2", "pool_1", "pool_2", "relative", "of_two"}
    assert set(found) == names | {f"{name}_shrunk" for name in names}
    for spread in found.values():
        assert 0 < spread["min"] <= spread["median"] <= spread["max"]


def test_photographs_are_different_and_of_usual_size(tmp_path: Path) -> None:
    files = write_photographs(tmp_path, 2, (640, 480))
    assert [Image.open(file).size for file in files] == [(640, 480)] * 2
    assert files[0].read_bytes() != files[1].read_bytes()
    # cameras and the web: one to four bits a pixel; a plain area would have a hundredth
    assert all(0.5 < 8 * file.stat().st_size / (640 * 480) < 4 for file in files)
