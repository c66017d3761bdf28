"""The bench of `convert` converts what it says."""

import json
from pathlib import Path

from data_modules.formats import read_records
from experiments.speed.converting import _write, conversion_rate
from lightning_c3l.cli.convert import Job, convert


def test_figures() -> None:
    found = conversion_rate(50)
    assert found["records"] == 50
    assert 300 < found["bytes_per_record"] < 700
    assert found["seconds"] > 0


def test_records(tmp_path: Path) -> None:
    _write(tmp_path / "x.jsonl", 30)
    values = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert {len(value["conversations"]) for value in values} == {2, 4}
    assert all(value["conversations"][0]["value"].startswith("<image>\n") for value in values)
    assert convert(Job(str(tmp_path / "x.jsonl"), tmp_path / "x.parquet")) == (30, 0)
    records = [entry.record for entry in read_records(tmp_path / "x.parquet")]
    assert all(record is not None and set(record.extra) == {"id"} for record in records)
