"""Which folders are runs, how these ended, and which of them a word names."""

import json
from pathlib import Path

import pytest

from lightning_c3l.runs import lock
from lightning_c3l.runs.listing import chosen_runs, find_runs, read_run
from tests.helpers.run_folders import write_run


def test_runs_are_found_at_any_depth_and_not_searched(tmp_path: Path) -> None:
    plain = write_run(tmp_path / "demo" / "version_0", {})
    trial = write_run(tmp_path / "sweeps" / "grid" / "trial" / "version_12", None, {})
    moved = write_run(tmp_path / "renamed", {}, {"seed_everything": 0})
    # neither what lies in a run, nor what only looks like one
    write_run(plain / "images" / "version_0", {})
    (tmp_path / "demo" / "version_1").mkdir()
    write_run(tmp_path / "locked", None)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert find_runs(tmp_path) == sorted([plain, trial, moved])
    assert find_runs(plain) == [plain]


@pytest.mark.parametrize(
    ("noted", "files", "status"),
    [
        ({"ended": "finished"}, [], "finished"),
        ({"ended": "failed"}, ["report.html"], "failed"),
        ({"ended": "interrupted"}, [], "interrupted"),
        # killed, also where it had come to its end once before
        ({"ended": None}, ["report.html"], "interrupted"),
        # of releases that noted no end
        ({}, ["report.html"], "finished"),
        ({}, [], "interrupted"),
    ],
)
def test_how_runs_ended(tmp_path: Path, noted: dict[str, str | None], files: list[str], status: str) -> None:
    folder = write_run(tmp_path / "version_0", {})
    (folder / lock.LOCK).write_text(json.dumps({"verb": "fit", **noted}))
    for name in files:
        (folder / name).touch()
    found = read_run(folder)
    assert (found.status, found.verb, found.problems) == (status, "fit", ())


def test_a_run_whose_lock_is_held_is_running_and_notes_its_end(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "version_0", {})
    try:
        lock.acquire(folder, {"verb": "fit", "job": None})
        assert read_run(folder).status == "running"
        lock.note_end("failed")
    finally:
        lock.release()
    assert read_run(folder).status == "failed"
    assert {"verb": "fit", "job": None, "ended": "failed"}.items() <= lock.owner(folder).items()
    # another process of the run has no description to add to
    lock.acquire(folder, None)
    lock.note_end("finished")
    lock.release()
    assert read_run(folder).status == "failed"


@pytest.mark.parametrize("text", ['{"guard": {"act', "[]", "", "\udcff"])
def test_a_damaged_summary_is_named_and_left(tmp_path: Path, text: str) -> None:
    folder = write_run(tmp_path / "version_0", {})
    (folder / "summary.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    found = read_run(folder)
    assert found.summary == {}
    assert len(found.problems) == 1
    assert f"{folder / 'summary.json'}: is damaged" in found.problems[0]
    assert [path.name for path in folder.iterdir() if "summary" in path.name] == ["summary.json"]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("guard", 3),
        ("guard", {"states": 3}),
        ("guard", {"states": [3]}),
        ("rounds", {}),
        ("rounds", [None]),
        ("writers", []),
    ],
)
def test_a_part_of_another_form_is_named_and_left_out(tmp_path: Path, part: str, value: object) -> None:
    found = read_run(write_run(tmp_path / "version_0", {part: value, "dataset": {"pairs": 3}}, since="soon"))
    assert found.summary == {"dataset": {"pairs": 3}}
    assert found.problems == (f"{tmp_path / 'version_0/summary.json'}: its part {part} is damaged",)


def test_a_word_names_a_run_its_versions_or_a_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (2, 9, 10):
        write_run(Path("runs") / "demo" / f"version_{number}", {})
    other = write_run(Path("runs") / "other" / "version_0", {})
    newest, middle, oldest = (Path("runs/demo") / f"version_{number}" for number in (10, 9, 2))
    assert chosen_runs(["runs/demo"]) == [newest]
    assert chosen_runs(["runs/demo/version_2", "runs/other"]) == [oldest, other]
    assert chosen_runs(["runs/demo/version_*"]) == [oldest, middle, newest]
    assert chosen_runs(["runs/*"]) == [newest, other]
    # each once, where it was named first
    assert chosen_runs(["runs/other", "runs/*", "runs/demo/../demo"]) == [other, newest]
    for word in ("runs", "nothing", "runs/*/none"):
        with pytest.raises(ValueError, match=r"no run folder.*python -m lightning_c3l runs"):
            chosen_runs([word])
