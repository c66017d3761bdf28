"""`runs`: the list of run folders."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.report.text import MISSING
from lightning_c3l.runs import lock
from tests.helpers.commandline import run_here
from tests.helpers.run_folders import guard, state, write_run


def measured(before: float, after: float, started: str, **parts: Any) -> dict[str, Any]:
    """A summary of a run that ended, with two images that changed alike."""
    states = [state(n, {"a": held_out - 0.25, "b": held_out + 0.25}) for n, held_out in enumerate((before, after))]
    changed = {"model.loss.contrastive_weight": after, "exposure.measure": False}
    return {
        "guard": guard(*states),
        "rounds": [{"round": 0, "candidates": 8}],
        "seconds_total": 12.4,
        "run": {"started": started, "changed": changed},
        **parts,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs/demo/version_0", measured(0.5, 0.75, "2026-01-01T10:00:00+00:00"))
    worse = measured(0.5, 0.25, "2026-01-03T10:00:00+00:00", dataset={"pairs": 40})
    write_run(tmp_path / "runs/demo/version_1", worse)
    tested = {"evaluation": {"test/pope_f1": 0.875, "n": 10}, "run": {"started": "2026-01-02T10:00:00+00:00"}}
    write_run(tmp_path / "runs/pope/version_0", tested, verb="test")
    killed = write_run(tmp_path / "runs/killed/version_0", None, {}, None, since="2025-12-31T10:00:00+00:00")
    (killed / "summary.json").write_text('{"guard"')
    return tmp_path / "runs"


def listed(printed: str) -> list[str]:
    """First words of the lines of runs."""
    return [line.split()[0] for line in printed.splitlines() if "/version_" in line and ": is damaged" not in line]


def test_newest_first_with_figures_and_options(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = run_here(capsys, "runs", str(folder))
    assert status == 0
    assert listed(printed) == ["demo/version_1", "pope/version_0", "demo/version_0", "killed/version_0"]
    lines = printed.splitlines()
    heads = "run began status verb verdict benchmark held-out criterion pairs seconds"
    assert " ".join(lines[0].split()) == heads
    (worse,) = (line for line in lines if line.startswith("demo/version_1"))
    assert worse.split()[3:6] == ["finished", "fit", "worse"]
    assert "0.500 → 0.250" in worse
    assert worse.split()[-2:] == ["40", "12"]
    assert lines[lines.index(worse) + 1].rstrip() == "    model.loss.contrastive_weight=0.25 exposure.measure=false"
    (killed,) = (line for line in lines if line.startswith("killed"))
    assert "interrupted" in killed
    assert "pope_f1 0.875" in printed
    assert "killed/version_0/summary.json: is damaged" in lines[-1]


def test_the_criterion_is_called_held_out_only_where_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = measured(0.5, 0.75, "2026-01-01T10:00:00+00:00")
    own["guard"]["source"] = "images"
    write_run(tmp_path / "runs/own/version_0", own)
    _, printed = run_here(capsys, "runs", str(tmp_path / "runs"))
    assert "verdict  criterion on the rounds' own images" in printed
    assert "held-out" not in printed
    write_run(tmp_path / "runs/held/version_0", measured(0.25, 0.375, "2026-01-02T10:00:00+00:00"))
    _, printed = run_here(capsys, "runs", str(tmp_path / "runs"))
    lines = printed.splitlines()
    held_out, on_own = (lines[0].index(head) for head in ("held-out criterion", "criterion on the rounds' own images"))
    rows = {line.split("/")[0]: line for line in lines if "/version_0" in line}
    assert rows["held"][held_out:].split("  ")[0] == "0.250 → 0.375"
    assert rows["own"][on_own:].split("  ")[0] == "0.500 → 0.750"
    assert [rows["held"][on_own], rows["own"][held_out]] == [MISSING, MISSING]


def test_sorted_by_a_figure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = run_here(capsys, "runs", str(folder), "--sort", "held_out_criterion")
    assert status == 0
    assert listed(printed)[:2] == ["demo/version_0", "demo/version_1"]
    # a figure that is in no column gets one
    _, printed = run_here(capsys, "runs", str(folder), "--sort", "distinct_rate")
    assert "distinct_rate" in printed.splitlines()[0]
    status, printed = run_here(capsys, "runs", str(folder), "--sort", "held_out")
    assert status == 2
    assert "--sort held_out: no run here has this figure; known are best_state, candidates_total" in printed
    assert len(printed.splitlines()) == 1


def test_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = run_here(capsys, "runs", str(folder), "--json")
    assert status == 0
    runs = {one["name"]: one for one in json.loads(printed)}
    better = runs["demo/version_0"]
    assert (better["status"], better["verdict"], better["began"]) == ("finished", "better", "2026-01-01T10:00:00+00:00")
    assert better["figures"]["held_out_criterion"] == 0.75
    assert better["changed"] == {"model.loss.contrastive_weight": 0.75, "exposure.measure": False}
    assert runs["pope/version_0"]["figures"] == {"pope_f1": 0.875}
    assert runs["killed/version_0"]["problems"]


def test_the_verdict_that_a_run_noted_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noted = measured(0.5, 0.75, "2026-01-01T10:00:00+00:00", verdict="undecided")
    write_run(tmp_path / "a/version_0", noted)
    write_run(tmp_path / "b/version_0", noted, ended="failed")
    _, printed = run_here(capsys, "runs", str(tmp_path), "--json")
    assert {one["name"]: one["verdict"] for one in json.loads(printed)} == {
        "a/version_0": "undecided",
        # one that has not come to its end has no verdict
        "b/version_0": None,
    }


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_a_line_is_no_wider_than_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    _, printed = run_here(capsys, "runs", str(folder / "demo"))
    printed = re.sub(r"\x1b\[\d*m", "", printed)
    assert max(map(len, printed.splitlines())) <= width
    assert "version_0" in printed
    assert ("seconds" in printed.splitlines()[0]) == (width >= 80)
    # what there is no room for is named
    told = " ".join(printed.split())
    assert ("seconds; --json has all figures" in told) == (width < 80)


def test_nothing_hidden_in_a_name_reaches_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = measured(0.5, 0.75, "\x1b[31m", run={"changed": {"a\x1b[2J": "[bold]x\u202e"}, "started": "soon"})
    write_run(tmp_path / "red\x1b[31m" / "version_0", summary)
    status, printed = run_here(capsys, "runs", str(tmp_path))
    assert status == 0
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "[bold]x" in printed


def test_the_folder_is_runs_unless_given(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert run_here(capsys, "runs") == run_here(capsys, "runs", "runs")


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = run_here(capsys, "runs", "--help")
    assert status == 0
    assert "python -m lightning_c3l runs runs/sweeps --sort held_out_criterion" in " ".join(printed.split())


def test_no_runs_and_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(capsys, "runs", str(tmp_path)) == (0, f"no runs in {tmp_path}\n")
    assert run_here(capsys, "runs", str(tmp_path), "--json") == (0, "[]\n")
    status, printed = run_here(capsys, "runs", str(tmp_path / "none"))
    assert status == 2
    assert "no such folder" in printed


def test_a_running_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "a/version_0", None, ended=None)
    try:
        lock.acquire(folder, {"verb": "fit"})
        _, printed = run_here(capsys, "runs", str(tmp_path))
    finally:
        lock.release()
    assert "running" in printed
