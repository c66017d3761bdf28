"""Which folder a run takes, and where it goes on."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_c3l import locking
from lightning_c3l.run_folder import LAST, OLD, Place, Run, leave, settle


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for name in [
        n for n in os.environ if n.startswith(("C3L_RUN", "C3L_CHECK", "C3L_PARENT", "SLURM_", "TORCHELASTIC"))
    ]:
        monkeypatch.delenv(name)
    yield
    leave()


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(str(tmp_path), "some")


def settled(run: Run, verb: str = "fit", checkpoint: str | None = None) -> Place:
    """What a process of its own would get."""
    leave()
    return settle(run, verb, checkpoint, nodes=1)


def checkpoint_in(folder: str, name: Path = LAST) -> str:
    (Path(folder) / name).parent.mkdir(exist_ok=True)
    (Path(folder) / name).touch()
    return str(Path(folder) / name)


def test_each_run_takes_the_first_free_version(run):
    assert [Path(settled(run).folder).name for _ in range(3)] == ["version_0", "version_1", "version_2"]
    assert settled(replace(run, version=7)) == Place(str(run.home / "version_7"), None)
    assert Path(settled(run).folder).name == "version_8"
    # numbers, not names
    assert Path(settled(replace(run, version=10)).folder).name == "version_10"
    assert Path(settled(run).folder).name == "version_11"


def test_last_begins_goes_on_and_begins_again_where_nothing_was_saved(run, capsys):
    first = settled(run, checkpoint="last")
    assert first == Place(str(run.home / "version_0"), None)
    assert not capsys.readouterr().out
    assert settled(run, checkpoint="last") == first
    assert "no checkpoint yet" in capsys.readouterr().out
    saved = checkpoint_in(first.folder)
    assert settled(run, checkpoint="last") == Place(first.folder, saved)


@pytest.mark.parametrize("verb", ["predict", "test"])
def test_last_is_the_newest_fit_by_number_and_passes_over_others(run, verb):
    for number in (9, 10):
        checkpoint_in(settled(replace(run, version=number)).folder)
    settled(run, verb=verb)
    # touched last, which says nothing
    (run.home / "version_9" / LAST).touch()
    assert settled(run, checkpoint="last").checkpoint == str(run.home / "version_10" / LAST)
    assert settled(replace(run, version=9), checkpoint="last").checkpoint == str(run.home / "version_9" / LAST)


def test_a_checkpoint_folder_that_was_being_replaced_is_found(run):
    folder = settled(run).folder
    old = checkpoint_in(folder, OLD)
    assert settled(run, checkpoint="last").checkpoint == old
    assert settled(run, checkpoint="last").checkpoint != checkpoint_in(folder)
    assert settled(run, checkpoint="last").checkpoint == str(Path(folder) / LAST)


def test_a_checkpoint_by_its_path_goes_on_in_its_run(run):
    folder = settled(run).folder
    (Path(folder) / "config.yaml").touch()
    saved = checkpoint_in(folder)
    settled(run)
    assert settled(run, checkpoint=saved) == Place(folder, saved)
    # predict reads it and writes elsewhere
    assert settled(run, "predict", saved) == Place(str(run.home / "version_2"), saved)
    # one that lies in no run is only read
    assert settled(run, checkpoint="elsewhere/some.ckpt") == Place(str(run.home / "version_3"), "elsewhere/some.ckpt")


def test_predict_does_not_guess(run):
    with pytest.raises(ValueError, match="needs the path"):
        settled(run, "predict", "last")


@pytest.mark.parametrize("given", [None, "last", "elsewhere/some.ckpt"])
def test_a_requeued_job_goes_on_in_its_own_folder(run, monkeypatch, given):
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    folder = settled(run).folder
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    checkpoint_in(settled(run).folder)
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    # killed before it had saved anything
    assert settled(run, checkpoint=given) == Place(folder, None if given == "last" else given)
    saved = checkpoint_in(folder)
    assert settled(run, checkpoint=given) == Place(folder, saved)
    # another task of a job array has its own
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "41")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert settled(run).folder == str(run.home / "version_2")
    assert json.loads((run.home / "version_2" / locking.LOCK).read_text())["job"] == "41_3"


def test_processes_that_lightning_starts_are_told(run, monkeypatch):
    place = settled(run)
    checkpoint_in(place.folder)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("lightning_c3l.launch.end_with", lambda parent: None)
    # what appeared since is not for them alone
    assert settle(run, "fit", "last", 1) == place


def test_what_a_killed_run_was_about_to_rename_goes(run):
    folder = Path(settled(run).folder)
    (folder / "rounds" / ".tmp-folder").mkdir(parents=True)
    for name in (".tmp-1.json", "rounds/.tmp-2.jsonl", "rounds/kept.jsonl", "rounds/.tmp-folder/3"):
        (folder / name).touch()
    settled(replace(run, version=0))
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [locking.LOCK, "kept.jsonl"]


def test_an_interval_that_is_none_is_refused():
    with pytest.raises(ValueError, match="checkpoint_every"):
        Run(checkpoint_every=0)
