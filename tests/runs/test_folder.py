"""Which folder a run takes, and which checkpoint it resumes from."""

import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lightning_c3l.runs import lock
from lightning_c3l.runs.checkpoint_files import save_checkpoint
from lightning_c3l.runs.folder import (
    LAST,
    OLD,
    RunConfig,
    RunFolder,
    claim_folder,
    release_folder,
    remove_unused_folder,
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for name in [
        n for n in os.environ if n.startswith(("C3L_RUN", "C3L_CHECK", "C3L_PARENT", "SLURM_", "TORCHELASTIC"))
    ]:
        monkeypatch.delenv(name)
    yield
    release_folder()


@pytest.fixture
def run(tmp_path) -> RunConfig:
    return RunConfig(str(tmp_path), "some")


def claimed(run: RunConfig, verb: str = "fit", checkpoint: str | None = None) -> RunFolder:
    """What a process of its own would get."""
    release_folder()
    return claim_folder(run, verb, checkpoint, nodes=1)


def checkpoint_in(folder: str, name: Path = LAST) -> str:
    path = Path(folder) / name
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        save_checkpoint({"weights": torch.arange(1000)}, file)
    return str(path)


def flip_bit(path: Path) -> None:
    """In the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_each_run_takes_the_first_free_version(run):
    assert [Path(claimed(run).path).name for _ in range(3)] == ["version_0", "version_1", "version_2"]
    assert claimed(replace(run, version=7)) == RunFolder(str(run.home / "version_7"), None)
    assert Path(claimed(run).path).name == "version_8"
    # numbers, not names
    assert Path(claimed(replace(run, version=10)).path).name == "version_10"
    assert Path(claimed(run).path).name == "version_11"


def test_last_starts_resumes_and_restarts_where_nothing_was_saved(run, capsys):
    first = claimed(run, checkpoint="last")
    assert first == RunFolder(str(run.home / "version_0"), None)
    assert not capsys.readouterr().out
    assert claimed(run, checkpoint="last") == first
    assert "no checkpoint yet" in capsys.readouterr().out
    saved = checkpoint_in(first.path)
    assert claimed(run, checkpoint="last") == RunFolder(first.path, saved)


def test_last_passes_over_newer_starts_that_hold_nothing(run, capsys):
    saved = checkpoint_in(claimed(replace(run, version=0)).path)
    with_rows = Path(claimed(replace(run, version=1)).path)
    for number in (2, 3):
        claimed(replace(run, version=number))
    assert claimed(run, checkpoint="last") == RunFolder(str(run.home / "version_0"), saved)
    assert "version_3 holds nothing to resume: resuming" in capsys.readouterr().out
    # texts of a round that was killed before its first checkpoint
    (with_rows / "rounds" / "0" / "parts").mkdir(parents=True)
    (with_rows / "rounds" / "0" / "parts" / "0-abc.jsonl").write_text("{}")
    assert claimed(run, checkpoint="last") == RunFolder(str(with_rows), None)
    # asked for by its number
    assert claimed(replace(run, version=3), checkpoint="last") == RunFolder(str(run.home / "version_3"), None)


def test_last_does_not_pass_over_a_run_that_has_just_begun(run, monkeypatch):
    checkpoint_in(claimed(run).path)
    begun = Path(claimed(run).path)
    monkeypatch.setattr(lock, "_PATIENCE", 0.2)
    release_folder()
    # of another process, as flock counts it
    file = os.open(begun / lock.LOCK, os.O_RDWR)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        with pytest.raises(ValueError, match="version_1 is in use"):
            claimed(run, checkpoint="last")
    finally:
        os.close(file)


def test_a_start_that_fails_before_its_first_record_leaves_no_folder(run):
    for made in ((), ("config.yaml", "rounds/0/manifest.json", "rounds/0/images.json", "wandb/run-1/run.wandb")):
        folder = Path(claimed(run).path)
        for name in made:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        remove_unused_folder()
        # nor does an experiment that has no other version
        assert not run.home.exists()
    for name in ("rounds/0/parts/0-abc.jsonl", "checkpoints/last.ckpt", "rejected.jsonl", "metrics.csv", "mine.txt"):
        folder = Path(claimed(run).path)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        remove_unused_folder()
        assert (folder / name).exists()
    # of a run that has ended
    kept = Path(claimed(run).path)
    release_folder()
    remove_unused_folder()
    assert kept.exists()


def test_a_damaged_checkpoint_is_refused_by_name(run):
    folder = claimed(run).path
    saved = checkpoint_in(folder)
    flip_bit(Path(saved))
    # also by its path, and where it is only read
    for verb, given in (("fit", "last"), ("fit", saved), ("predict", saved), ("test", saved)):
        with pytest.raises(ValueError, match=rf"{saved}: damaged, its digest.*remove it and train again"):
            claimed(run, verb, given)


def test_what_is_no_checkpoint_is_refused_by_name(run, tmp_path):
    for name, content in (("empty.ckpt", b""), ("text.ckpt", b"no checkpoint at all"), ("zip.ckpt", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: no checkpoint, or one that is cut"):
            claimed(run, checkpoint=str(tmp_path / name))
    for word in ("best", "hpc", "nowhere/last.ckpt", ""):
        with pytest.raises(ValueError, match=f"no checkpoint {word or repr(word)}; give the path of one, or last"):
            claimed(run, checkpoint=word)


def test_a_run_folder_is_no_checkpoint_and_the_one_in_it_is_named(run, tmp_path):
    folder = Path(claimed(run).path)
    with pytest.raises(ValueError, match=f"{folder} is a folder without a checkpoint"):
        claimed(run, "test", str(folder))
    saved = checkpoint_in(folder)
    for given in (folder, folder / LAST.parent):
        with pytest.raises(ValueError, match=f"{given} is a folder; give {saved}"):
            claimed(run, "test", str(given))
    # as torch, Lightning and DeepSpeed leave them
    for number, name in enumerate((".metadata", "meta.pt", "checkpoint/mp_rank_00_model_states.pt")):
        given = tmp_path / f"{number}.ckpt"
        given.mkdir()
        checkpoint_in(given, Path(name))
        assert claimed(run, "test", str(given)).checkpoint == str(given)


def test_the_checkpoint_before_a_damaged_one_is_taken_where_there_is_one(run, capsys):
    folder = claimed(run).path
    old, saved = checkpoint_in(folder, OLD), Path(checkpoint_in(folder))
    saved.write_bytes(saved.read_bytes()[:-100])
    assert claimed(run, checkpoint="last").checkpoint == old
    assert f"{saved}: no checkpoint, or one that is cut or damaged; resuming from {old}" in capsys.readouterr().out
    flip_bit(Path(old))
    with pytest.raises(ValueError, match=f"{old}: damaged"):
        claimed(run, checkpoint="last")


@pytest.mark.parametrize("verb", ["predict", "test"])
def test_last_is_the_newest_fit_by_number_and_passes_over_others(run, verb):
    for number in (9, 10):
        checkpoint_in(claimed(replace(run, version=number)).path)
    claimed(run, verb=verb)
    # touched last, which says nothing
    (run.home / "version_9" / LAST).touch()
    assert claimed(run, checkpoint="last").checkpoint == str(run.home / "version_10" / LAST)
    assert claimed(replace(run, version=9), checkpoint="last").checkpoint == str(run.home / "version_9" / LAST)


def test_a_checkpoint_folder_that_was_being_replaced_is_found(run):
    folder = claimed(run).path
    old = checkpoint_in(folder, OLD)
    assert claimed(run, checkpoint="last").checkpoint == old
    assert claimed(run, checkpoint="last").checkpoint != checkpoint_in(folder)
    assert claimed(run, checkpoint="last").checkpoint == str(Path(folder) / LAST)


def test_a_checkpoint_by_its_path_goes_on_in_its_run(run):
    folder = claimed(run).path
    (Path(folder) / "config.yaml").touch()
    saved = checkpoint_in(folder)
    claimed(run)
    assert claimed(run, checkpoint=saved) == RunFolder(folder, saved)
    # predict reads it and writes elsewhere
    assert claimed(run, "predict", saved) == RunFolder(str(run.home / "version_2"), saved)
    # one that lies in no run is only read
    elsewhere = checkpoint_in(str(run.home), Path("elsewhere") / "some.ckpt")
    assert claimed(run, checkpoint=elsewhere) == RunFolder(str(run.home / "version_3"), elsewhere)


def test_the_run_of_a_checkpoint_does_not_depend_on_how_its_path_is_written(run, tmp_path, monkeypatch):
    folder = Path(claimed(run).path)
    (folder / "config.yaml").touch()
    saved = Path(checkpoint_in(folder))
    (tmp_path / "link.ckpt").symlink_to(saved)
    for where, given in ((saved.parent, "last.ckpt"), (folder, "checkpoints/last.ckpt"), (tmp_path, "link.ckpt")):
        monkeypatch.chdir(where)
        start = claimed(run, checkpoint=given)
        assert Path(start.path).resolve() == folder.resolve()
        assert start.checkpoint == given
    assert sorted(path.name for path in saved.parent.iterdir()) == ["last.ckpt"]


def test_predict_does_not_guess(run):
    with pytest.raises(ValueError, match="needs the path"):
        claimed(run, "predict", "last")


@pytest.mark.parametrize("given", [None, "last", "elsewhere/some.ckpt"])
def test_a_requeued_job_goes_on_in_its_own_folder(run, monkeypatch, given):
    if given not in (None, "last"):
        given = checkpoint_in(run.root, Path(given))
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    folder = claimed(run).path
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    checkpoint_in(claimed(run).path)
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    # killed before it had saved anything
    assert claimed(run, checkpoint=given) == RunFolder(folder, None if given == "last" else given)
    saved = checkpoint_in(folder)
    assert claimed(run, checkpoint=given) == RunFolder(folder, saved)
    # another task of a job array has its own
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "41")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert claimed(run).path == str(run.home / "version_2")
    assert json.loads((run.home / "version_2" / lock.LOCK).read_text())["job"] == "41_3"


def test_processes_that_lightning_starts_are_told(run, monkeypatch):
    start = claimed(run)
    checkpoint_in(start.path)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("lightning_c3l.distributed.launch.end_with", lambda parent: None)
    # what appeared since is not for them alone
    assert claim_folder(run, "fit", "last", 1) == start


def test_what_a_killed_run_was_about_to_rename_goes(run):
    folder = Path(claimed(run).path)
    (folder / "rounds" / ".tmp-folder").mkdir(parents=True)
    for name in (".tmp-1.json", "rounds/.tmp-2.jsonl", "rounds/kept.jsonl", "rounds/.tmp-folder/3"):
        (folder / name).touch()
    claimed(replace(run, version=0))
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [lock.LOCK, "kept.jsonl"]


def test_a_version_that_holds_a_checkpoint_is_not_begun_again(run):
    folder = claimed(replace(run, version=4)).path
    # nothing was saved yet
    assert claimed(replace(run, version=4)).path == folder
    saved = checkpoint_in(folder)
    elsewhere = checkpoint_in(str(run.home), Path("elsewhere") / "some.ckpt")
    for given in (None, elsewhere):
        with pytest.raises(ValueError, match=rf"run\.version: {saved} would be overwritten; .*--ckpt_path last"):
            claimed(replace(run, version=4), checkpoint=given)
    assert claimed(replace(run, version=4), checkpoint="last") == RunFolder(folder, saved)
    assert claimed(replace(run, version=4), "predict", elsewhere).path == folder
    with pytest.raises(ValueError, match=r"run\.version must be at least 0, not -1"):
        RunConfig(version=-1)


def test_an_interval_that_is_none_is_refused():
    with pytest.raises(ValueError, match="checkpoint_every"):
        RunConfig(checkpoint_every=0)


@pytest.mark.parametrize("wandb", ["a/b/c", "/b", "a/", "", "a#b", "a?b", "x" * 129])
def test_a_name_that_wandb_refuses_is_refused_before_the_run(wandb):
    with pytest.raises(ValueError, match=r"^run.wandb must be a project, entity/project or null, not "):
        RunConfig(wandb=wandb)


def test_names_that_wandb_takes():
    assert [RunConfig(wandb=name).wandb for name in (None, "c3l", "team/c3l", "a b.c-d_e", "x" * 128)]


def test_a_trial_of_a_sweep_has_a_folder_of_its_own(tmp_path):
    trial = RunConfig(str(tmp_path), "some", trial="sweep1/run2")
    assert claimed(trial).path == str(tmp_path / "sweeps" / "sweep1" / "run2" / "version_0")
    # started again, it goes on there
    checkpoint_in(str(tmp_path / "sweeps" / "sweep1" / "run2" / "version_0"))
    assert claimed(trial, checkpoint="last").path == str(tmp_path / "sweeps" / "sweep1" / "run2" / "version_0")
    assert claimed(replace(trial, trial="sweep1/run3"), checkpoint="last").path.endswith("run3/version_0")
