"""Checks in their own processes: times, failures, the table and the file."""

import json
from pathlib import Path

import pytest
import torch

from experiments.gpu_check import child
from experiments.gpu_check.checks import CHECKS, Check, Outcome, Setting
from experiments.gpu_check.demo import judge
from experiments.gpu_check.memory import check_halving
from experiments.gpu_check.run import has_failed, run_checks, table
from lightning_c3l.cli.gpu_check import main

DEMO = {"i2c_auroc": {"answer": 0.9}, "writers": {"base": {"truth_rate": 0.3}, "tuned": {"truth_rate": 0.45}}}


def test_a_check_that_takes_too_long_is_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    file = tmp_path / "out" / "found.json"
    found = run_checks(["machine", "qlora", "demo"], "cpu", [], 1.4, file)
    assert [one["status"] for one in found.values()] == ["out of time", "not run", "not run"]
    assert found["machine"]["problems"] == ["stopped after 1 s"]
    assert has_failed(found)
    written = json.loads(file.read_text())
    assert written["checks"] == found
    assert [path.name for path in file.parent.iterdir()] == ["found.json"]


def test_no_check_begins_after_the_end(tmp_path: Path) -> None:
    found = run_checks(["machine"], "cpu", [], 0.5, tmp_path / "found.json")
    assert found["machine"]["status"] == "out of time"
    assert found["machine"]["seconds"] == 0


def test_an_error_is_a_problem_of_its_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(CHECKS, "machine", Check("machine", "machine:nothing", 10))
    found = child.run_check("machine", Setting("cpu", (), tmp_path))
    assert found.status == "failed"
    assert found.problems[0].startswith("AttributeError: ")


def test_the_table_names_what_is_wrong() -> None:
    found = {
        "a": {"status": "ok", "seconds": 1.4, "summary": "fine"},
        "b": {"status": "failed", "seconds": 12.6, "summary": "", "problems": ["one", "two"]},
        "c": {"status": "not run", "seconds": 0.0, "not_run": "needs a GPU"},
    }
    columns = [list(column.cells) for column in table(found).columns]
    assert columns == [
        ["a", "b", "c"],
        ["ok", "failed", "not run"],
        ["1", "13", "0"],
        ["fine", "one\ntwo", "needs a GPU"],
    ]
    assert has_failed(found)
    assert not has_failed({name: found[name] for name in "ac"})


def test_a_batch_size_is_halved_until_it_fits(tmp_path: Path) -> None:
    found = check_halving(Setting("cpu", (), tmp_path))
    assert found.status == "ok", found.problems
    # five images fit: 32, 16 and 8 do not
    assert found.figures == {"kind": "simulated", "size": 4}


@pytest.mark.parametrize(
    ("auroc", "truth", "problems"), [(0.9, 0.45, 0), (0.79, 0.45, 1), (0.9, 0.39, 1), (float("nan"), 0.3, 2)]
)
def test_the_demo_must_reach_what_its_file_expects(auroc: float, truth: float, problems: int) -> None:
    writers = DEMO["writers"] | {"tuned": {"truth_rate": truth}}
    found = judge({"i2c_auroc": {"answer": auroc}, "writers": writers}, 90.0)
    assert len(found.problems) == problems
    assert found.figures["minutes"] == 1.5


def test_outcomes_have_a_status() -> None:
    assert [Outcome("x").status, Outcome("x", ["y"]).status, Outcome(not_run="z").status] == ["ok", "failed", "not run"]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--only", "speed"], "no check is called 'speed'"), (["--seconds", "0"], "--seconds must be above 0")],
)
def test_wrong_options(words: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        main(words)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="--device cuda: PyTorch sees no GPU"):
        main(["--device", "cuda", "--out", str(tmp_path)])
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_the_part_that_a_cpu_can_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--families", "llava-1.5", "qwen3-vl"]) == 0
    found = json.loads((tmp_path / "gpu-check.json").read_text())["checks"]
    expected = {name: "not run" if check.gpu_only else "ok" for name, check in CHECKS.items()}
    assert {name: one["status"] for name, one in found.items()} == expected
    for name in ("families-float32", "families-bfloat16"):
        assert {family: one["path"] for family, one in found[name]["figures"].items()} == {
            "llava-1.5": "fast",
            "qwen3-vl": "fast",
        }
    assert "no GPU was used" in capsys.readouterr().out
