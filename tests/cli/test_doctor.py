"""What `doctor` says of an installation and a machine, and that it tells no secret."""

import configparser
import json
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
from wandb.sdk.lib import urls

from lightning_c3l.cli import doctor, doctor_machine, doctor_packages, doctor_parts
from lightning_c3l.cli.finding import Finding
from lightning_c3l.scenes.self_test import SelfTest
from tests.helpers.commandline import ROOT, run_here

KEY = "0123456789" * 4


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody is logged in to W&B, and it is told nothing."""
    wandb.teardown()
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    yield
    wandb.teardown()


def by_name(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {one.name: one for one in findings}


def test_every_extra_is_described() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    # of those who work on the project
    assert set(config["options.extras_require"]) - {"dev", "docs"} == set(doctor_packages.EXTRAS)


# in a checkout, whose tested versions hold
INSTALL = "pip install --constraint constraints.txt"


def test_packages_that_are_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    there = {"lightning_c3l": "0.1.0", "torch": "2.4.0", "wandb": "0.31.0"}

    def version(name: str) -> str:
        if name not in there:
            raise PackageNotFoundError(name)
        return there[name]

    needs = ["torch>=2.6", "wandb>=0.31", "peft>=0.19", "timm>=1; extra == 'timm'", "wandb; extra == 'judge'"]
    monkeypatch.setattr(doctor_packages, "requires", lambda name: needs)
    monkeypatch.setattr(doctor_packages, "version", version)
    monkeypatch.setattr(doctor_packages, "EXTRAS", {"timm": "towers", "judge": "judges"})
    found = by_name(doctor_packages.packages())
    assert found["torch"] == Finding("torch", "problem", "2.4.0, but >=2.6 is needed", f"{INSTALL} 'torch>=2.6'")
    assert found["peft"] == Finding("peft", "problem", "not installed", f"{INSTALL} 'peft>=0.19'")
    assert found["wandb"] == Finding("wandb", "ok", "0.31.0")
    extras = by_name(doctor_packages.extras())
    assert extras["[timm]"] == Finding("[timm]", "note", "not installed: timm", f"for towers: {INSTALL} -e '.[timm]'")
    assert extras["[judge]"] == Finding("[judge]", "ok", "installed: judges")


def test_memory_is_what_programs_can_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4 * 2**20}
    monkeypatch.setattr(doctor_machine.os, "sysconf", sizes.__getitem__)
    (tmp_path / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable:    8388608 kB\n")
    monkeypatch.setattr(doctor_machine, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(doctor_machine, "LIMIT", tmp_path / "memory.max")
    assert list(doctor_machine.memory()) == [Finding("memory", "ok", "16.0 GiB, 8.0 GiB available")]
    # of a container
    (tmp_path / "memory.max").write_text(f"{2 * 2**30}\n")
    (found,) = doctor_machine.memory()
    assert (found.state, found.text) == ("note", "2.0 GiB, 2.0 GiB available")
    (tmp_path / "memory.max").write_text("max\n")
    assert list(doctor_machine.memory()) == [Finding("memory", "ok", "16.0 GiB, 8.0 GiB available")]


def test_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * 2**30))
    folder = tmp_path / "a" / "runs"
    assert list(doctor_machine.disk(folder)) == [Finding("runs", "ok", f"3.0 GiB free in {folder}")]
    monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**30))
    assert [one.state for one in doctor_machine.disk(folder)] == ["note"]
    (tmp_path / "a").write_text("a file")
    (found,) = doctor_machine.disk(folder)
    assert found.state == "problem"
    assert "not a folder" in found.text


@pytest.mark.parametrize(
    ("environment", "state", "text", "todo"),
    [
        ({}, "note", "offline (nobody is logged in to wandb.example.org); no credentials", "wandb login"),
        (
            {"WANDB_BASE_URL": urls.DEFAULT_BASE_URL},
            "note",
            f"offline (nobody is logged in to W&B's cloud, {urls.DEFAULT_BASE_URL[8:]}); no credentials",
            "wandb sync",
        ),
        ({"WANDB_MODE": "offline"}, "note", "offline (WANDB_MODE); no credentials", "wandb login"),
        ({"WANDB_MODE": "disabled"}, "note", "disabled (WANDB_MODE); no credentials", "nothing is logged"),
        ({"WANDB_API_KEY": KEY}, "ok", "online (WANDB_API_KEY for wandb.example.org); there are credentials", ""),
        (
            {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"},
            "note",
            "offline (WANDB_MODE); there are credentials",
            "unset WANDB_MODE",
        ),
    ],
)
def test_how_wandb_runs_and_why(
    environment: dict[str, str], state: str, text: str, todo: str, nobody: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WANDB_BASE_URL": "http://wandb.example.org", **environment}.items():
        monkeypatch.setenv(name, value)
    (found,) = doctor_parts.wandb()
    assert (found.state, found.text) == (state, text)
    assert todo in found.todo
    assert KEY[:10] not in str(found)
    # what it has looked for is no setting from here on
    (again,) = doctor_parts.wandb()
    assert again == found


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (SelfTest("Question: a?\nAnswer: b", "", 1.0, -0.5), "ok"),
        (SelfTest("Question: a?\nAnswer: b", "", 0.5, 1.0), "problem"),
        (SelfTest("noise", "no question", 1.0, -0.5), "problem"),
    ],
)
def test_a_model_that_does_not_tell_true_from_false_is_a_problem(
    result: SelfTest, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_parts, "HuggingFaceLVLM", lambda *given, **options: None)
    monkeypatch.setattr(doctor_parts, "self_test", lambda *given: result)
    (found,) = doctor_parts.shipped_model()
    assert found.state == state
    assert bool(found.todo) == (state == "problem")


def test_the_verb_in_text_and_in_json(
    nobody: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it, with the shipped model."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    status, said = run_here(capsys, "doctor", "--no-model", "--json")
    told = json.loads(said)
    assert status == int(told["counts"]["problem"] > 0)
    names = [one["name"] for one in told["findings"]]
    assert names[:3] == ["python", "lightning_c3l", "torch"]
    assert {"transformers", "[vision]", "memory", "runs", "HF cache", "HF Hub", "CPU", "W&B"} <= set(names)
    assert all(one["text"] and (one["todo"] or one["state"] == "ok") for one in told["findings"])
    assert sum(told["counts"].values()) == len(names)
    status, said = run_here(capsys, "doctor")
    rows = re.findall(r"^(ok|note|problem) +(\[?[\w &-]+?\]?)  ", said, re.MULTILINE)
    assert [name for _, name in rows] == [*names, "self-test"]
    assert rows[-1][0] in ("ok", "note")
    assert max(map(len, said.splitlines())) <= 100
    assert KEY not in said
    assert "secret" not in said


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*given: Any) -> Iterator[Finding]:
        raise RuntimeError("libcudart.so.12:\ncannot open")

    monkeypatch.setattr(doctor, "_CHECKS", (("memory", "doctor_machine", "memory"), ("HF cache", "nowhere", "x")))
    monkeypatch.setattr(doctor, "_SLOW_CHECKS", (("devices", "doctor_machine", "devices"),))
    monkeypatch.setattr(doctor_machine, "devices", broken)
    status, said = run_here(capsys, "doctor")
    assert status == 1
    assert [line.split()[0] for line in said.splitlines() if line[:1].strip()] == [
        "ok",
        "problem",
        "ok",
        "problem",
        "2",
    ]
    assert "RuntimeError: libcudart.so.12: cannot open" in said
