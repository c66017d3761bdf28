"""The walk over a sweep with a stand-in for `fit`: what is started, resumed, told and kept."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from experiments.sweeps import running
from experiments.sweeps.page import render
from experiments.sweeps.results import results_table
from experiments.sweeps.sweep_file import read_sweep
from experiments.sweeps.trials import Trial, TrialProcess
from experiments.sweeps.walk import Walk, WalkPlan
from lightning_c3l.cli.main import main
from lightning_c3l.runs import lock
from tests.helpers.commandline import environment
from tests.report.dom import parse

FAKE = Path(__file__).with_name("fake_run.py")


@pytest.fixture(autouse=True)
def _unlocked() -> Iterator[None]:
    yield
    lock.release()


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Writes a sweep file about the stand-in."""

    def file(**changes: Any) -> Path:
        found = {
            "program": str(FAKE),
            "method": "grid",
            "metric": {"name": "final/held_out_criterion", "goal": "maximize"},
            "parameters": {"x": {"values": [1, -1, 3]}},
            **changes,
        }
        path = tmp_path / "some.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in found.items() if value is not None}))
        return path

    return file


def starts(root: Path, trial: str, name: str = "some") -> list[dict[str, str]]:
    file = root / "sweeps" / name / trial / "version_0" / "starts.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def walk(file: Path, root: Path, *words: str) -> int:
    return main(["sweep-local", str(file), "--root", str(root), *words])


def results(root: Path) -> Any:
    return json.loads((root / "sweeps" / "some" / "results.json").read_text())


def test_a_trial_that_fails_ends_nothing_but_itself(write, tmp_path, capsys):
    root = tmp_path / "runs"
    assert walk(write(), root) == 1
    printed = capsys.readouterr().out
    assert "1/3 trial 0000: x=1: held_out_criterion 1.0000" in printed
    assert "2/3 trial 0001: x=-1: failed with status 2: x must be at least 0; " in printed
    assert "left\n" in printed
    # every trial has its own folder and leaves W&B alone
    assert starts(root, "0002") == [{"x": "3", "run.root": str(root), "run.trial": "some/0002", "run.wandb": "null"}]
    found = results(root)
    assert found["best"] == "0002"
    assert [(one["status"], one["exit"], one["metric"]) for one in found["trials"]] == [
        ("finished", 0, 1.0),
        ("failed", 2, None),
        ("finished", 0, 3.0),
    ]
    assert found["trials"][1]["reason"] == "x must be at least 0"
    assert found["trials"][2]["figures"]["held_out_criterion_start"] == 0.1
    with (root / "sweeps" / "some" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["x"], row["final/parsed_rate"]) for row in rows] == [
        ("0000", "1", "0.5"),
        ("0001", "-1", ""),
        ("0002", "3", "0.5"),
    ]
    assert "last words" in (root / "sweeps" / "some" / "0001" / "log.txt").read_text()


def test_a_reason_is_that_of_the_last_start(tmp_path):
    trial = Trial(tmp_path / "0000", {})
    for program, reason in (("exit('error: first')", "first"), ("raise KeyError('second')", "KeyError: 'second'")):
        process = TrialProcess(trial, [sys.executable, "-c", program], {})
        process.wait()
        assert (trial.status, trial.exit, trial.reason) == ("failed", 1, reason)
    assert "error: first" in (tmp_path / "0000" / "log.txt").read_text()


def test_the_same_command_runs_what_has_not_finished(write, tmp_path, capsys):
    root = tmp_path / "runs"
    walk(write(), root, "--count", "1")
    walk(write(), root)
    assert walk(write(), root) == 1
    assert "2 of 3 trials have finished before" in capsys.readouterr().out
    assert [len(starts(root, trial)) for trial in ("0000", "0001", "0002")] == [1, 2, 1]
    # what failed is tried again where it stopped
    assert [start.get("ckpt_path") for start in starts(root, "0001")] == [None, "last"]


def test_a_trial_that_the_walk_was_killed_with_resumes(write, tmp_path):
    root = tmp_path / "runs"
    folder = root / "sweeps" / "some" / "0000" / "version_0"
    folder.mkdir(parents=True)
    assert walk(write(parameters={"x": {"values": [0, 2]}}), root) == 0
    assert [start.get("ckpt_path") for start in starts(root, "0000")] == ["last"]
    assert [start.get("ckpt_path") for start in starts(root, "0001")] == [None]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_walk_that_is_told_to_stop_stops_its_trials(write, tmp_path, number, status):
    file, root = write(parameters={"x": {"values": [0, 2]}}), tmp_path / "runs"
    words = [sys.executable, "-m", "lightning_c3l", "sweep-local", str(file), "--root", str(root), "--workers", "2"]
    process = subprocess.Popen(
        words,
        cwd=tmp_path,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        stdout=subprocess.PIPE,
        text=True,
    )
    done = [root / "sweeps" / "some" / "0000" / "version_0" / "waits", root / "sweeps" / "some" / "0001" / "trial.json"]
    deadline = time.monotonic() + 120
    while not all(path.exists() for path in done):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, number)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == status, printed
    assert "stopped 1 of the trials; the same command goes on with them" in printed
    assert [one["status"] for one in results(root)["trials"]] == ["interrupted", "finished"]
    assert walk(file, root) == 0
    assert [start.get("ckpt_path") for start in starts(root, "0000")] == [None, "last"]


def test_random_trials_depend_on_seed_and_number_alone(write, tmp_path):
    file = write(method="random", parameters={"x": {"min": 1.0, "max": 2.0}, "y": {"values": [1, 2, 3]}})
    sweep = read_sweep(file)
    assert sweep.trials(3, seed=0) == sweep.trials(5, seed=0)[:3]
    assert sweep.trials(3, seed=1) != sweep.trials(3, seed=0)
    assert len({trial["x"] for trial in sweep.trials(5, seed=0)}) == 5


def test_a_grid_has_every_combination_the_last_parameter_fastest(write):
    sweep = read_sweep(write(parameters={"b": {"values": [1, 2]}, "a": {"min": 0, "max": 1}, "c": {"value": None}}))
    assert sweep.trials(None, 0) == [{"a": a, "b": b, "c": None} for a in (0, 1) for b in (1, 2)]
    assert len(sweep.trials(3, 0)) == 3


def test_nested_parameters_reach_a_trial_as_one_mapping(write, tmp_path):
    nested = {"i2c": {"parameters": {"margin": {"value": 0.5}, "cap": {"values": [1, 2]}}}, "x": {"value": 1}}
    sweep = read_sweep(write(parameters=nested))
    assert sweep.trials(1, 0) == [{"i2c": {"cap": 1, "margin": 0.5}, "x": 1}]
    assert sweep.flat(sweep.trials(1, 0)[0]) == {"i2c.cap": 1, "i2c.margin": 0.5, "x": 1}


def test_the_number_of_trials(write):
    endless = {"method": "random", "parameters": {"x": {"min": 1, "max": 9}}}
    assert len(read_sweep(write(**endless, run_cap=4)).trials(None, 0)) == 4
    assert len(read_sweep(write(**endless, run_cap=4)).trials(6, 0)) == 6
    assert len(read_sweep(write(run_cap=2)).trials(None, 0)) == 2
    with pytest.raises(ValueError, match=r"^the method random has no end: give --count, or run_cap in the file$"):
        read_sweep(write(**endless)).trials(None, 0)


def test_what_only_the_server_can_do_is_told_once(write, tmp_path, capsys):
    file = write(
        method="bayes", parameters={"x": {"min": 1.0, "max": 2.0}}, early_terminate={"type": "hyperband", "min_iter": 1}
    )
    assert walk(file, tmp_path / "runs", "--count", "1") == 0
    printed = capsys.readouterr().out
    assert printed.count("the method bayes needs W&B's server: parameters are drawn at random here") == 1
    assert printed.count("trials are stopped early by W&B's server alone") == 1


def test_another_sweep_needs_another_folder(write, tmp_path, capsys):
    root = tmp_path / "runs"
    walk(write(), root, "--count", "1")
    assert walk(write(parameters={"x": {"values": [7]}}), root) == 2
    assert "choose another --name to start over" in capsys.readouterr().err
    assert walk(write(parameters={"x": {"values": [7]}}), root, "--name", "other") == 0
    assert starts(root, "0000", "other")[0]["run.trial"] == "other/0000"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "genetic"}, "method: must be one of grid, random, bayes, not 'genetic'"),
        ({"metric": {"name": "round/i2c_mean"}}, "metric.name: must be final/ and a figure of the end of a run"),
        ({"metric": {"name": "final/x", "goal": "up"}}, "metric.goal: must be maximize or minimize, not 'up'"),
        ({"run_cap": 0}, "run_cap: must be a whole number from 1 on, not 0"),
        ({"comand": []}, "comand: not known here; known are program, "),
        ({"parameters": None}, "a sweep file is a mapping with method, metric and parameters"),
        ({"parameters": {"x": {"min": 0.0, "max": 1.0}}}, "parameters.x: a grid cannot walk the distribution uniform"),
        ({"command": ["${python}"]}, "command: ${python} is not known here; known are env, "),
    ],
)
def test_a_file_that_cannot_be_walked(write, tmp_path, capsys, changes, message):
    file = write(**changes)
    assert walk(file, tmp_path / "runs") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert not (tmp_path / "runs").exists()


def test_a_name_that_is_no_folder(write, tmp_path, capsys):
    assert walk(write(), tmp_path / "runs", "--name", "my sweep") == 2
    assert capsys.readouterr().err.startswith("error: --name and the number of a trial must be SWEEP/TRIAL, names of")


def test_a_file_that_is_not_there(tmp_path, capsys):
    assert walk(tmp_path / "no.yaml", tmp_path / "runs") == 2
    assert "no.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("workers", "visible", "shares"),
    [
        (1, "0,1", [{}]),
        (2, "0,1,2", [{"CUDA_VISIBLE_DEVICES": "0,2"}, {"CUDA_VISIBLE_DEVICES": "1"}]),
        (2, "", [{}, {}]),
        (2, "5", [{}, {}]),
    ],
)
def test_workers_share_the_gpus_that_are_listed(workers, visible, shares, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert [running._share(worker, workers) for worker in range(workers)] == shares


def test_the_page_shows_every_trial_and_nothing_of_a_trial_runs(write, tmp_path):
    root = tmp_path / "runs"
    walk(write(parameters={"x": {"values": [1, -1, 3]}, "y": {"values": ["<script>", 2]}}), root)
    page = (root / "sweeps" / "some" / "report.html").read_text()
    dom = parse(page)
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") >= 3
    links = [node.attributes["href"] for node in dom.find("a")]
    assert links == [f"{trial}/version_0/report.html" for trial in ("0004", "0005", "0000", "0001")]
    points = {
        node.attributes["data-trial"]: node.attributes["data-y"]
        for node in dom.find("g")
        if "data-trial" in node.attributes
    }
    assert points == {"0000": "1.0", "0001": "1.0", "0004": "3.0", "0005": "3.0"}
    assert "0002, status 2: x must be at least 0" in page
    # what is optimised comes first, where a phone shows it
    heads, best = [row.find("th") + row.find("td") for row in dom.find("table")[-1].find("tr")][:2]
    assert [one.text for one in heads[:4]] == ["trial", "held out criterion", "x", "y"]
    assert [one.all_text() for one in best[:4]] == ["0004", "3.0000", "3", "<script>"]
    assert (heads[-1].text, best[-1].text) == ("status", "finished")


@pytest.mark.parametrize(
    ("width", "beside"), [(58, []), (66, []), (67, ["parsed"]), (75, ["parsed"]), (76, ["parsed", "limits"])]
)
def test_a_table_leaves_out_what_a_narrow_terminal_would_cut(write, tmp_path, width, beside):
    # 5 + 1 + 9 + 9 + 7 + 8 characters, and 6 for each figure beside the optimised one; 3 more a column, and 1
    parameters = {"x": {"values": [1]}, "name": {"values": ["positions"]}}
    file = write(parameters=parameters)
    assert walk(file, tmp_path) == 0
    known = Walk(read_sweep(file), WalkPlan("some", tmp_path, None, 0, 1))
    printed = io.StringIO()
    Console(file=printed, width=width).print(results_table(known, width))
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = printed.getvalue().replace("│", " ").split()
    assert {"0000", "positions", "1.0000", "finished", "seconds", "criterion"} <= set(words)
    assert [word for word in words if word in ("parsed", "limits")] == beside


def test_a_page_without_a_figure(write, tmp_path):
    file = write(metric={"name": "final/unheard", "goal": "minimize"}, parameters={"x": {"values": [1]}})
    found = Walk(read_sweep(file), WalkPlan("some", tmp_path / "runs", None, 0, 1))
    found.run()
    assert found.metric(found.trials[0]) is None
    assert "No trial has the figure unheard yet" in render(found)
