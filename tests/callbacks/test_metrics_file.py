"""metrics.csv of an interrupted run."""

import csv
from pathlib import Path

import pytest

from callbacks.metrics_file import MetricsFile


def logger(folder: Path) -> MetricsFile:
    return MetricsFile(folder, name="", version="", flush_logs_every_n_steps=1)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def begun(folder: Path, steps: int) -> None:
    before = logger(folder)
    before.go_on_from(0)
    before.log_metrics({"round": 0.5}, 0)
    for step in range(steps):
        before.log_metrics({"loss": step / 4}, step)


def test_earlier_steps_stay_and_those_taken_again_are_there_once(tmp_path):
    begun(tmp_path, 4)
    after = logger(tmp_path)
    after.go_on_from(2)
    after.log_metrics({"loss": 7.0, "new": 1.0}, 2)
    after.log_metrics({"loss": 8.0}, 3)
    assert rows(tmp_path) == [
        {"round": "0.5", "step": "0"},
        {"loss": "0.0", "step": "0"},
        {"loss": "0.25", "step": "1"},
        {"loss": "7.0", "new": "1.0", "step": "2"},
        {"loss": "8.0", "step": "3"},
    ]


def test_nothing_is_deleted_before_it_is_known_where_the_run_goes_on(tmp_path):
    begun(tmp_path, 2)
    assert logger(tmp_path).experiment is not None
    assert len(rows(tmp_path)) == 3


def test_a_row_that_was_being_written_goes(tmp_path):
    begun(tmp_path, 3)
    path = tmp_path / "metrics.csv"
    whole = path.read_bytes()
    for cut in range(1, len(whole) + 1):
        path.write_bytes(whole[:-cut])
        after = logger(tmp_path)
        after.go_on_from(99)
        after.log_metrics({"loss": 9.0}, 99)
        expected = [{"round": "0.5", "step": "0"}] + [{"loss": str(n / 4), "step": str(n)} for n in range(3)]
        kept = max(0, whole[:-cut].count(b"\n") - 1)
        assert rows(tmp_path) == [*expected[:kept], {"loss": "9.0", "step": "99"}]


def test_a_run_that_begins_anew_keeps_nothing(tmp_path):
    begun(tmp_path, 3)
    after = logger(tmp_path)
    after.go_on_from(0)
    after.log_metrics({"loss": 1.0}, 0)
    assert rows(tmp_path) == [{"loss": "1.0", "step": "0"}]


@pytest.mark.parametrize("damaged", [b"\xff\xfe\x00\n1,2\n", b"loss,ste\n1.0,0\n2.0,1\n"])
def test_a_damaged_file_is_put_aside_and_begun_again(tmp_path, damaged):
    (tmp_path / "metrics.csv").write_bytes(damaged)
    after = logger(tmp_path)
    with pytest.warns(UserWarning, match=r"metrics\.csv: is damaged .* kept as .*metrics\.csv\.damaged"):
        after.go_on_from(1)
    assert (tmp_path / "metrics.csv.damaged").read_bytes() == damaged
    after.log_metrics({"loss": 7.0}, 1)
    assert rows(tmp_path) == [{"loss": "7.0", "step": "1"}]
