"""Which folder a run takes, and where it goes on."""

import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lightning_c3l.runs import lock
from lightning_c3l.runs.checkpoint_files import save_checkpoint
from lightning_c3l.runs.folder import LAST, OLD, Place, RunConfig, abandon, leave, settle


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for name in [
        n for n in os.environ if n.startswith(("C3L_RUN", "C3L_CHECK", "C3L_PARENT", "SLURM_", "TORCHELASTIC"))
    ]:
        monkeypatch.delenv(name)
    yield
    leave()


@pytest.fixture
def run(tmp_path) -> RunConfig:
    return RunConfig(str(tmp_path), "some")


def settled(run: RunConfig, verb: str = "fit", checkpoint: str | None = None) -> Place:
    """What a process of its own would get."""
    leave()
    return settle(run, verb, checkpoint, nodes=1)


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


def test_last_passes_over_newer_starts_that_hold_nothing(run, capsys):
    saved = checkpoint_in(settled(replace(run, version=0)).folder)
    with_rows = Path(settled(replace(run, version=1)).folder)
    for number in (2, 3):
        settled(replace(run, version=number))
    assert settled(run, checkpoint="last") == Place(str(run.home / "version_0"), saved)
    assert "version_3 holds nothing to go on from: going on in" in capsys.readouterr().out
    # texts of a round that was killed before its first checkpoint
    (with_rows / "rounds" / "0" / "parts").mkdir(parents=True)
    (with_rows / "rounds" / "0" / "parts" / "0-abc.jsonl").write_text("{}")
    assert settled(run, checkpoint="last") == Place(str(with_rows), None)
    # asked for by its number
    assert settled(replace(run, version=3), checkpoint="last") == Place(str(run.home / "version_3"), None)


def test_last_does_not_pass_over_a_run_that_has_just_begun(run, monkeypatch):
    checkpoint_in(settled(run).folder)
    begun = Path(settled(run).folder)
    monkeypatch.setattr(lock, "_PATIENCE", 0.2)
    leave()
    # of another process, as flock counts it
    file = os.open(begun / lock.LOCK, os.O_RDWR)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        with pytest.raises(ValueError, match="version_1 is in use"):
            settled(run, checkpoint="last")
    finally:
        os.close(file)


def test_a_start_that_fails_before_its_first_record_leaves_no_folder(run):
    for made in ((), ("config.yaml", "rounds/0/manifest.json", "rounds/0/images.json", "wandb/run-1/run.wandb")):
        folder = Path(settled(run).folder)
        for name in made:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        abandon()
        assert not folder.exists()
        assert run.home.is_dir()
    for name in ("rounds/0/parts/0-abc.jsonl", "checkpoints/last.ckpt", "rejected.jsonl", "metrics.csv", "mine.txt"):
        folder = Path(settled(run).folder)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        abandon()
        assert (folder / name).exists()
    # of a run that has ended
    kept = Path(settled(run).folder)
    leave()
    abandon()
    assert kept.exists()


def test_a_damaged_checkpoint_is_refused_by_name(run):
    folder = settled(run).folder
    saved = checkpoint_in(folder)
    flip_bit(Path(saved))
    # also by its path, and where it is only read
    for verb, given in (("fit", "last"), ("fit", saved), ("predict", saved), ("test", saved)):
        with pytest.raises(ValueError, match=rf"{saved}: damaged, its digest.*remove it and train again"):
            settled(run, verb, given)


def test_what_is_no_checkpoint_is_refused_by_name(run, tmp_path):
    for name, content in (("empty.ckpt", b""), ("text.ckpt", b"no checkpoint at all"), ("zip.ckpt", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: no checkpoint, or one that is cut"):
            settled(run, checkpoint=str(tmp_path / name))
    for word in ("best", "hpc", "nowhere/last.ckpt", ""):
        with pytest.raises(ValueError, match=f"no checkpoint {word or repr(word)}; give the path of one, or last"):
            settled(run, checkpoint=word)


def test_a_run_folder_is_no_checkpoint_and_the_one_in_it_is_named(run, tmp_path):
    folder = Path(settled(run).folder)
    with pytest.raises(ValueError, match=f"{folder} is a folder without a checkpoint"):
        settled(run, "test", str(folder))
    saved = checkpoint_in(folder)
    for given in (folder, folder / LAST.parent):
        with pytest.raises(ValueError, match=f"{given} is a folder; give {saved}"):
            settled(run, "test", str(given))
    # as torch, Lightning and DeepSpeed leave them
    for number, name in enumerate((".metadata", "meta.pt", "checkpoint/mp_rank_00_model_states.pt")):
        given = tmp_path / f"{number}.ckpt"
        given.mkdir()
        checkpoint_in(given, Path(name))
        assert settled(run, "test", str(given)).checkpoint == str(given)


def test_the_checkpoint_before_a_damaged_one_is_taken_where_there_is_one(run, capsys):
    folder = settled(run).folder
    old, saved = checkpoint_in(folder, OLD), Path(checkpoint_in(folder))
    saved.write_bytes(saved.read_bytes()[:-100])
    assert settled(run, checkpoint="last").checkpoint == old
    assert f"{saved}: no checkpoint, or one that is cut or damaged; going on from {old}" in capsys.readouterr().out
    flip_bit(Path(old))
    with pytest.raises(ValueError, match=f"{old}: damaged"):
        settled(run, checkpoint="last")


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
    elsewhere = checkpoint_in(str(run.home), Path("elsewhere") / "some.ckpt")
    assert settled(run, checkpoint=elsewhere) == Place(str(run.home / "version_3"), elsewhere)


def test_the_run_of_a_checkpoint_does_not_depend_on_how_its_path_is_written(run, tmp_path, monkeypatch):
    folder = Path(settled(run).folder)
    (folder / "config.yaml").touch()
    saved = Path(checkpoint_in(folder))
    (tmp_path / "link.ckpt").symlink_to(saved)
    for where, given in ((saved.parent, "last.ckpt"), (folder, "checkpoints/last.ckpt"), (tmp_path, "link.ckpt")):
        monkeypatch.chdir(where)
        place = settled(run, checkpoint=given)
        assert Path(place.folder).resolve() == folder.resolve()
        assert place.checkpoint == given
    assert sorted(path.name for path in saved.parent.iterdir()) == ["last.ckpt"]


def test_predict_does_not_guess(run):
    with pytest.raises(ValueError, match="needs the path"):
        settled(run, "predict", "last")


@pytest.mark.parametrize("given", [None, "last", "elsewhere/some.ckpt"])
def test_a_requeued_job_goes_on_in_its_own_folder(run, monkeypatch, given):
    if given not in (None, "last"):
        given = checkpoint_in(run.root, Path(given))
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
    assert json.loads((run.home / "version_2" / lock.LOCK).read_text())["job"] == "41_3"


def test_processes_that_lightning_starts_are_told(run, monkeypatch):
    place = settled(run)
    checkpoint_in(place.folder)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("lightning_c3l.distributed.launch.end_with", lambda parent: None)
    # what appeared since is not for them alone
    assert settle(run, "fit", "last", 1) == place


def test_what_a_killed_run_was_about_to_rename_goes(run):
    folder = Path(settled(run).folder)
    (folder / "rounds" / ".tmp-folder").mkdir(parents=True)
    for name in (".tmp-1.json", "rounds/.tmp-2.jsonl", "rounds/kept.jsonl", "rounds/.tmp-folder/3"):
        (folder / name).touch()
    settled(replace(run, version=0))
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [lock.LOCK, "kept.jsonl"]


def test_a_version_that_holds_a_checkpoint_is_not_begun_again(run):
    folder = settled(replace(run, version=4)).folder
    # nothing was saved yet
    assert settled(replace(run, version=4)).folder == folder
    saved = checkpoint_in(folder)
    elsewhere = checkpoint_in(str(run.home), Path("elsewhere") / "some.ckpt")
    for given in (None, elsewhere):
        with pytest.raises(ValueError, match=rf"run\.version: {saved} would be overwritten; .*--ckpt_path last"):
            settled(replace(run, version=4), checkpoint=given)
    assert settled(replace(run, version=4), checkpoint="last") == Place(folder, saved)
    assert settled(replace(run, version=4), "predict", elsewhere).folder == folder
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
