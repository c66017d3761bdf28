"""The trials of a table with a stand-in for `fit`: what is started, reused, resumed, listed and compared."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from experiments.recipe import trials
from lightning_c3l.cli.main import main
from lightning_c3l.runs import lock
from tests.report.dom import parse

FAKE = Path(__file__).with_name("fake_fit.py")
PROTOCOL = {
    "stages": {
        "search": {"seeds": "0-1", "images": "scenes:count=6,seed=1"},
        "confirm": {"seeds": "10-11", "images": "scenes:count=6,seed=2"},
    },
    "resamples": 50,
}


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(trials, "_FIT", (sys.executable, str(FAKE)))
    yield
    lock.release()


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., int]:
    """Runs the verb on a table of these rows."""
    (tmp_path / "experiment.yaml").write_text("seed_everything: 0\n")
    (tmp_path / "protocol.yaml").write_text(yaml.safe_dump(PROTOCOL))

    def run(rows: dict[str, Any], *words: str) -> int:
        table = {"experiment": "experiment.yaml", "baseline": "base", "rows": rows}
        (tmp_path / "some.yaml").write_text(yaml.safe_dump(table))
        files = ["--protocol", str(tmp_path / "protocol.yaml"), "--root", str(tmp_path / "runs")]
        return main(["recipe", str(tmp_path / "some.yaml"), *files, *words])

    return run


def results(tmp_path: Path, stage: str = "search") -> Any:
    return json.loads((tmp_path / "runs" / "sweeps" / "some" / stage / "results.json").read_text())


def starts(tmp_path: Path) -> dict[str, list[dict[str, str]]]:
    """What each run was started with."""
    files = (tmp_path / "runs" / "sweeps" / "some").glob("*/version_0/starts.jsonl")
    return {file.parent.parent.name: [json.loads(line) for line in file.read_text().splitlines()] for file in files}


def test_rows_that_write_alike_share_a_first_round_of_each_seed(recipe, tmp_path):
    warmer = {"model.init_args.writing.sampling.temperature": 1.0, "x": 0.5}
    rows = {"base": {"x": 0.5}, "other": {"x": 0.75}, "warm": warmer, "warm-too": {**warmer, "x": 0.25}}
    assert recipe(rows) == 0
    started = starts(tmp_path)
    rounds = {name for name in started if name.startswith("round0-")}
    assert len(rounds) == 4
    assert len(started) == 4 + 4 * 2
    reused = {name: Path(own[0]["i2c.reuse"]).parent.name for name, own in started.items() if name not in rounds}
    for seed in (0, 1):
        assert reused[f"base-seed{seed}"] == reused[f"other-seed{seed}"] != reused[f"warm-seed{seed}"]
        assert reused[f"warm-seed{seed}"] == reused[f"warm-too-seed{seed}"]
        assert reused[f"warm-seed{seed}"].endswith(f"-seed{seed}")
    assert {own[0]["seed_everything"] for name, own in started.items() if name.endswith("seed1")} == {"1"}
    # only candidates are made there, and the starting model is measured once a seed
    folder = tmp_path / "runs" / "sweeps" / "some"
    overlays = {name: yaml.safe_load((folder / name / "overlay.yaml").read_text()) for name in rounds}
    assert {one["trainer"]["max_epochs"] for one in overlays.values()} == {0}
    assert all("x" not in one for one in overlays.values())
    measured = [name for name, one in overlays.items() if "callbacks" in one["trainer"]]
    assert sorted(measured) == sorted({reused["base-seed0"], reused["base-seed1"]})


def test_differences_are_those_of_the_rows(recipe, tmp_path):
    assert recipe({"base": {"x": 0.5}, "good": {"x": 0.75}, "bad": {"x": 0.25}, "same": {"x": 0.5}}) == 0
    rows = results(tmp_path)["rows"]
    # every image and seed differs by as much, so that intervals are points
    gaps = {name: rows[name]["differences"]["truth"] for name in rows}
    assert {name: one["mean"] for name, one in gaps.items()} == pytest.approx(
        {"starting model": 0, "base": 0, "good": 0.25, "bad": -0.25, "same": 0}
    )
    assert (gaps["good"]["low"], gaps["good"]["high"]) == pytest.approx((0.25, 0.25))
    assert rows["good"]["verdict"] == "better: truth of statements"
    assert rows["bad"]["verdict"].startswith("worse: ")
    assert rows["same"]["verdict"] == "not told from the baseline"
    assert rows["base"]["figures"]["kind_entropy"]["mean"] == pytest.approx(math.log(2))
    assert rows["base"]["kind_shares"] == {"color": 0.5, "place": 0.5, "other": 0}
    assert rows["base"]["cpu_seconds"] == {"training": 2.0, "all": 5.0}
    table = (tmp_path / "runs" / "sweeps" / "some" / "search" / "table.md").read_text().splitlines()
    named = [line.split("`")[1] for line in table if line.startswith("| `")]
    assert named[:5] == ["good", "starting model", "base", "same", "bad"]
    assert len(named) == 5 + 4 * 2
    assert any("+0.250 (+0.250 to +0.250)" in line and "better" in line for line in table)


def test_a_trial_that_fails_is_listed_and_ends_nothing_else(recipe, tmp_path, capsys):
    assert recipe({"base": {"x": 0.5}, "wrong": {"x": -1}, "last": {"x": 0.75}}) == 1
    found = results(tmp_path)
    listed = {(one["row"], one["seed"]): (one["status"], one["reason"]) for one in found["trials"]}
    assert listed["wrong", 0] == listed["wrong", 1] == ("failed", "x must be at least 0")
    assert listed["last", 1] == ("finished", "")
    assert found["rows"]["wrong"]["verdict"] == "not measured"
    assert "wrong-seed1: failed with status 2: x must be at least 0; " in capsys.readouterr().out
    dom = parse((tmp_path / "runs" / "sweeps" / "some" / "search" / "report.html").read_text())
    drawn = [
        (one.attributes["data-series"], one.attributes["data-value"])
        for one in dom.walk()
        if "data-series" in one.attributes
    ]
    # truth, own beginnings, question answering, kinds
    assert drawn == [("last", "0.25"), ("last", "0.25"), ("last", "0.0"), ("last", "0.0")]
    cells = [one.all_text() for one in dom.find("td")]
    assert cells.count("x must be at least 0") == 2
    # another look lists it too, but does not fail over it
    assert recipe({"base": {"x": 0.5}, "wrong": {"x": -1}, "last": {"x": 0.75}}, "--only", "last") == 0
    assert [one["status"] for one in results(tmp_path)["trials"] if one["row"] == "wrong"] == ["failed", "failed"]
    # the same command tries it again, from its start
    assert recipe({"base": {"x": 0.5}, "wrong": {"x": 0.5}, "last": {"x": 0.75}}) == 0
    started = starts(tmp_path)
    assert [len(started[f"{row}-seed0"]) for row in ("base", "wrong", "last")] == [1, 2, 1]
    assert "ckpt_path" not in started["wrong-seed0"][1]
    assert [len(own) for name, own in started.items() if name.startswith("round0-")] == [1, 1]


def test_a_trial_that_was_stopped_goes_on(recipe, tmp_path):
    rows = {"base": {"x": 0.5}, "slow": {"x": 0}}
    assert recipe(rows, "--seeds", "0") == 0
    assert [one["status"] for one in results(tmp_path)["trials"]] == ["finished", "interrupted"]
    assert recipe(rows, "--seeds", "0") == 0
    assert [one["status"] for one in results(tmp_path)["trials"]] == ["finished", "finished"]
    assert [start.get("ckpt_path") for start in starts(tmp_path)["slow-seed0"]] == [None, "last"]


def test_trials_without_their_first_round_fail_with_its_reason(recipe, tmp_path):
    assert recipe({"base": {"x": 0.5}, "mute": {"i2c.scorer": "nobody"}}, "--seeds", "1") == 1
    base, mute = results(tmp_path)["trials"]
    assert base["status"] == "finished"
    assert mute["status"] == "failed"
    assert "its first round" in mute["reason"]
    assert mute["reason"].endswith("x must be at least 0")
    assert "mute-seed1" not in starts(tmp_path)


def test_stages_have_seeds_and_images_of_their_own(recipe, tmp_path, capsys):
    rows = {"base": {"x": 0.5}, "one": {"x": 0.75}, "two": {"x": 0.75}}
    assert recipe(rows, "--stage", "confirm", "--only", "two") == 0
    found = results(tmp_path, "confirm")
    listed = [(one["row"], one["seed"]) for one in found["trials"]]
    assert listed == [("base", 10), ("base", 11), ("two", 10), ("two", 11)]
    overlay = yaml.safe_load((tmp_path / "runs" / "sweeps" / "some" / "two-seed10" / "overlay.yaml").read_text())
    assert overlay["trainer"]["callbacks"][0]["init_args"]["images"] == "scenes:count=6,seed=2"
    assert found["rows"]["two"]["verdict"] == "better: truth of statements"
    # some of the seeds of a stage decide nothing, and what was run before stays in the table
    assert recipe(rows, "--stage", "confirm", "--only", "one", "--seeds", "11") == 0
    found = results(tmp_path, "confirm")
    assert {name: own["verdict"] for name, own in found["rows"].items() if name in rows} == {
        "base": "",
        "one": "1 of 2 seeds",
        "two": "better: truth of statements",
    }
    listed = [(one["row"], one["seed"]) for one in found["trials"] if one["status"] == "finished"]
    assert listed == [("base", 10), ("base", 11), ("one", 11), ("two", 10), ("two", 11)]
    assert recipe(rows, "--stage", "confirm", "--seeds", "0") == 2
    assert "error: --seeds: 0 is none of this stage, whose seeds are 10-11" in capsys.readouterr().err
    assert recipe(rows, "--only", "three") == 2
    assert "error: --only: some has no row 'three'; it has base, one, two" in capsys.readouterr().err


def test_a_row_keeps_the_options_of_its_finished_trials(recipe, tmp_path, capsys):
    assert recipe({"base": {"x": 0.5}}, "--seeds", "0") == 0
    assert recipe({"base": {"x": 0.5}, "more": {"x": 0.5}}, "--seeds", "0") == 0
    assert recipe({"base": {"x": 0.75}}, "--seeds", "0") == 2
    assert "the row base had other options when this was made" in capsys.readouterr().err
    changed = {**PROTOCOL, "resamples": 60}
    (tmp_path / "protocol.yaml").write_text(yaml.safe_dump(changed))
    assert recipe({"base": {"x": 0.5}}, "--seeds", "0") == 2
    assert "created with resamples=50, got resamples=60" in capsys.readouterr().err


def test_a_folder_keeps_its_starting_model(recipe, tmp_path, capsys):
    lvlm = {"class_path": "HuggingFaceLVLM", "init_args": {"path": str(tmp_path)}}
    experiment = {"model": {"class_path": "C3LModule", "init_args": {"lvlm": lvlm}}}
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(experiment))

    def run(weight: float) -> int:
        save_file({"weight": torch.tensor([weight])}, tmp_path / "model.safetensors")
        return recipe({"base": {"x": 0.5}}, "--seeds", "0")

    assert run(1.0) == run(1.0) == 0
    assert run(2.0) == 2
    printed = capsys.readouterr().err
    assert "created with model=" in printed
    assert "choose another --name to start over" in printed
    # one whose manifest does not name the model goes on
    file = tmp_path / "runs" / "sweeps" / "some" / "manifest.json"
    known = json.loads(file.read_text())
    del known["model"]
    file.write_text(json.dumps(known))
    assert run(2.0) == 0
