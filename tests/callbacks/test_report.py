import json
from types import SimpleNamespace

import pytest

import callbacks.report
from callbacks.report import RunReport, engine_share
from lightning_c3l import processes
from lightning_c3l.store import Round, RunStore

SECONDS = {"generate": 6.0, "score": 2.0, "select": 0.5, "engine": 0.5, "wait": 100.0, "train": 1.0}


class Data:
    truth, rejected = None, ()

    def source(self, name: str):
        raise AssertionError("there is no picture to show")


class Module:
    lvlm, seed = SimpleNamespace(path="path", fingerprint="print"), 3


def test_the_engines_share_leaves_out_what_a_process_waited():
    assert engine_share([{"seconds": SECONDS}]) == pytest.approx(0.05)
    # a second round of 30 s, of which 1.5 s
    assert engine_share([{"seconds": SECONDS}, {"seconds": {"train": 28.5, "engine": 1.5}}]) == pytest.approx(0.05)
    assert engine_share([{"seconds": {"train": 30.0}}, {"seconds": SECONDS}]) == pytest.approx(0.0125)


@pytest.mark.parametrize("rounds", [[], [{}], [{"seconds": {"generate": 1.0}}], [{"seconds": {"engine": 0.0}}]])
def test_without_a_measurement_there_is_no_share(rounds):
    assert engine_share(rounds) is None


def test_the_first_process_reports_the_rounds_that_are_there(tmp_path, capsys, monkeypatch):
    for number in range(2):  # of four: the run was stopped
        figures = {"round": number, "parsed_rate": 1.0, "seconds": SECONDS}
        RunStore(tmp_path).write_round(number, Round([], [], {}, figures))
    run = SimpleNamespace(default_root_dir=str(tmp_path), datamodule=Data(), max_epochs=4)
    monkeypatch.setattr(callbacks.report, "is_round_run", lambda *_: True)
    with monkeypatch.context() as other:
        other.setattr(processes, "is_first", lambda: False)
        RunReport().on_fit_end(run, Module())
    assert not (tmp_path / "summary.json").exists()
    RunReport().on_fit_end(run, Module())
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [one["round"] for one in summary["rounds"]] == [0, 1]
    assert summary["engine_share"] == pytest.approx(0.05)
    assert "<html" in (tmp_path / "report.html").read_text()
    assert "keeping the rounds took 5.0% of their time" in capsys.readouterr().out
