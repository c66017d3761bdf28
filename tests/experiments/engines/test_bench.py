"""The command from beginning to end, on the stand-in of a server."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from experiments.engines import run
from experiments.engines.output import picture, rates_table
from experiments.gpu_check import served
from experiments.gpu_check.checks import Setting
from experiments.vllm_server import command
from experiments.vllm_server.command import InstalledVLLM, ServerSettings
from experiments.vllm_server.process import RunningServer
from lightning_c3l.cli.bench_engines import main
from tests.helpers.vllm_server import serve

RATES = ("texts_per_cpu_second", "texts_per_second")


def installed(python: Path) -> InstalledVLLM:
    return InstalledVLLM(python, "0.32.0", False, frozenset())


@contextmanager
def stand_in(vllm: InstalledVLLM, settings: ServerSettings, log: Path, seconds: float = 1) -> Iterator[RunningServer]:
    with serve(settings.model, settings.model, settings.dtype or "float32") as server:
        yield RunningServer(server.url, os.getsid(0), 1.5)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.touch()
    monkeypatch.setenv("VLLM_PYTHON", str(python))
    for module in (command, served):
        monkeypatch.setattr(module, "inspect_vllm", installed)
    for where in (run, served):
        monkeypatch.setattr(where, "running_server", stand_in)


def test_the_command_writes_every_figure(vllm: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--shape", "tiny", "--prompts", "5", "--samples", "2", "--tokens", "4", "--repeats", "1"]
    assert main([*words, "--concurrency", "1", "3", "--precision", "float32", "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "bench-engines.json").read_text())
    assert found["machine"]["vllm"] == "0.32.0"
    rates = found["float32"]["rates"]
    assert list(rates) == ["ours", "server, 1 at a time", "server, 3 at a time"]
    spreads = [one[rate] for one in rates.values() for rate in RATES] + [*found["float32"]["handover"].values()]
    assert all(0 < one["min"] <= one["median"] <= one["max"] for one in spreads)
    assert found["float32"]["start_seconds"] == 1.5
    printed = capsys.readouterr().out
    assert "float32: server, 3 at a time" in printed
    assert "bench-engines.svg" in printed
    assert (tmp_path / "out" / "bench-engines.svg").read_text().startswith("<svg")


def test_without_vllm_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VLLM_PYTHON", raising=False)
    with pytest.raises(ValueError, match="no vLLM: name the python"):
        main([])


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--concurrency", "0"], "--concurrency must be"), (["--tokens", "0"], "--tokens must be at least 1")],
)
def test_impossible_numbers_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        main(words)


def test_table_and_picture_show_median_and_extremes() -> None:
    spread = {"median": 2.0, "min": 1.0, "max": 4.0}
    costs = dict.fromkeys(("handover_seconds", "check_seconds", "cpu_seconds"), spread)
    figures: dict[str, Any] = {"bfloat16": {"rates": {"ours": dict.fromkeys(RATES, spread)}, "handover": costs}}
    cells = [list(column.cells) for column in rates_table(figures).columns]
    assert cells[0] == [
        "bfloat16: ours",
        *(f"bfloat16: {name}" for name in ("hand-over, s", "check, s", "both, CPU s")),
    ]
    assert cells[1] == ["2 (1 to 4)"] * 4
    assert cells[2][0] == "2 (1 to 4)"
    svg = picture(figures)
    assert svg.count('data-value="2.0"') == 2
    assert "texts per CPU second" in svg


def test_the_check_of_a_real_size_runs_on_a_tiny_model(vllm: None, tmp_path: Path) -> None:
    (tmp_path / "check").mkdir()
    found = served.check_served(Setting("cpu", (), tmp_path / "check"))
    assert found.status == "ok", found.problems
    assert found.figures["served_texts_per_second"] > 0
    assert [list(one) for one in found.figures["seconds"]] == [
        ["enter", "served", "leave", "own", "score", "train"]
    ] * 2


def test_the_check_of_a_real_size_says_what_it_lacks(
    vllm: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "sees no GPU" in served.check_served(Setting("cuda", (), tmp_path)).not_run
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VLLM_PYTHON")
    assert "VLLM_PYTHON" in served.check_served(Setting("cuda", (), tmp_path)).not_run
