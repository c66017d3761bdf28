"""The engine of resumable jobs: settings compared, rows of all ranks seen."""

import json
from pathlib import Path

import pytest

from lightning_c3l.distributed import collectives
from lightning_c3l.runs.row_jobs import RowJob
from tests.helpers.ranks import run_ranks


def job(folder: Path, **made_with: object) -> RowJob:
    return RowJob(folder / "parts", made_with, "--again", result=folder / "result", ignored=["code"])


def test_only_missing_rows_are_made_and_only_with_the_same_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = job(tmp_path, model="a", seed=0, code=1)
    assert len(first.begin_numbered(3, "records")) == 0
    first.append([{"record": 2}])
    second = job(tmp_path, model="a", seed=0, code=2)
    done = second.begin_numbered(3, "records")
    assert [number for number in (1, 2, 3) if number in done] == [2]
    assert capsys.readouterr().out == "resuming: 1 of 3 records are done already\n"
    second.append([{"record": 1}, {"record": 3}])
    second.finish()
    assert [row["record"] for row in second.files.rows()] == [1, 2, 3]
    assert json.loads(second.manifest.read_text()) == {"model": "a", "seed": 0, "code": 1}
    with pytest.raises(ValueError, match=r"parts: created with seed=0, got seed=1: .*--again"):
        job(tmp_path, model="a", seed=1).begin()
    with pytest.raises(ValueError, match=r"created with dtype=None, got dtype='float32'"):
        job(tmp_path, model="a", seed=0, dtype="float32").begin()


def test_a_manifest_binds_as_long_as_there_are_rows_or_what_was_made_of_them(tmp_path: Path) -> None:
    job(tmp_path, seed=0).begin()
    job(tmp_path, seed=1).begin()
    (tmp_path / "result").touch()
    with pytest.raises(ValueError, match=r"created with seed=1, got seed=2"):
        job(tmp_path, seed=2).begin()


def test_settings_that_are_known_late_are_asked_for_in_begin(tmp_path: Path) -> None:
    weights = list[int]()
    late = RowJob(tmp_path, lambda: {"weights": weights}, "--again")
    weights.append(3)
    late.begin()
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"weights": [3]}


def test_rows_that_say_it_themselves_have_no_manifest(tmp_path: Path) -> None:
    bare = RowJob(tmp_path)
    bare.begin()
    bare.append([{"key": "a"}])
    bare.sync()
    assert [path.suffix for path in tmp_path.iterdir()] == [".jsonl"]


def test_rows_of_other_processes_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([False, False, True])
    monkeypatch.setattr(collectives, "world", lambda: 2)
    monkeypatch.setattr("lightning_c3l.runs.row_jobs.time.sleep", lambda _: None)
    job(tmp_path).wait_until(lambda: next(looks))
    assert next(looks, None) is None
    with pytest.raises(OSError, match=r"parts: rows of other processes are not visible; do all nodes share"):
        job(tmp_path).wait_until(lambda: False)
    monkeypatch.setattr(collectives, "world", lambda: 1)
    job(tmp_path).wait_until(lambda: False)


def _on_rank(rank: int, folder: str) -> None:
    own = job(Path(folder), seed=0)
    done = own.begin_numbered(4, "records")
    own.append([{"record": number} for number in range(1 + rank, 5, 2) if number not in done])
    own.finish()
    if rank == 0:
        own.wait_until(lambda: len(own.files.done(4)) == 4)
        assert [row["record"] for row in own.files.rows()] == [1, 2, 3, 4]
    # the reason is said once
    with pytest.raises(ValueError if rank == 0 else SystemExit):
        job(Path(folder), seed=1).begin()


def test_two_real_processes(tmp_path: Path) -> None:
    run_ranks(_on_rank, str(tmp_path))
