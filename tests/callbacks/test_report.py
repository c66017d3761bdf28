import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from lightning.pytorch.loggers.logger import DummyLogger

from callbacks.report import RunReport, engine_share
from callbacks.wandb_run import WandbRunLogger
from lightning_c3l.distributed import collectives
from lightning_c3l.rounds.generation import GenerationConfig
from lightning_c3l.rounds.store import Round, RunStore

SECONDS = {"generate": 6.0, "score": 2.0, "select": 0.5, "engine": 0.5, "wait": 100.0, "train": 1.0}


class Data:
    truth, rejected, longest_side, round = None, (), None, 1

    def source(self, name: str):
        raise AssertionError("there is no picture to show")

    digests = set_round = source


class Module:
    lvlm, seed = SimpleNamespace(name="shipped:scenes", fingerprint="print", network=None), 3
    writing, loss, inference_context = GenerationConfig(), None, nullcontext


class Offline(WandbRunLogger):
    """A run on W&B that is to be uploaded."""

    where = "wandb sync somewhere"

    def __init__(self) -> None:
        pass


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
    # Lightning's own logger of a dry run has a function for every name
    loggers = [DummyLogger(), Offline()]
    run = SimpleNamespace(default_root_dir=str(tmp_path), datamodule=Data(), max_epochs=4, loggers=loggers)
    with monkeypatch.context() as other:
        other.setattr(collectives, "is_rank_zero", lambda: False)
        RunReport().on_fit_end(run, Module())
    assert not (tmp_path / "summary.json").exists()
    RunReport().on_fit_end(run, Module())
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [one["round"] for one in summary["rounds"]] == [0, 1]
    assert summary["model"] == "shipped:scenes (print)"
    assert summary["verdict"] == "unmeasured"
    assert summary["run"] == {"wandb": "wandb sync somewhere"}
    assert summary["engine_share"] == pytest.approx(0.05)
    assert "wandb sync somewhere" in (tmp_path / "report.html").read_text()
    said = capsys.readouterr().out
    assert "Nothing says yet whether the rounds helped" in said
    assert f"{tmp_path}/report.html" in "".join(said.split())


def test_a_resumed_run_has_taken_the_time_of_all_its_starts(monkeypatch):
    clock = iter([100.0, 130.0, 500.0, 512.5])
    monkeypatch.setattr("callbacks.report.time.perf_counter", lambda: next(clock))
    first = RunReport()
    kept = first.state_dict()
    second = RunReport()
    second.load_state_dict(kept)
    assert second.state_dict() == {"seconds": 42.5}


def test_damaged_rounds_are_named_and_left_out(tmp_path):
    for number in range(3):
        RunStore(tmp_path).write_round(number, Round([], [], {}, {"round": number}))
    text = (tmp_path / "rounds/0/descriptions.json").read_bytes()
    (tmp_path / "rounds/0/descriptions.json").write_bytes(bytes([text[0] ^ 1]) + text[1:])
    (tmp_path / "rounds/1/round.json").write_text('{"round": 1')
    run = SimpleNamespace(default_root_dir=str(tmp_path), datamodule=Data(), max_epochs=4, loggers=[])
    with pytest.warns(UserWarning, match="the report leaves it out") as told:
        RunReport().on_fit_end(run, Module())
    said = " ".join(str(one.message) for one in told)
    assert "rounds/0/descriptions.json: is not what was written" in said
    assert "rounds/1/round.json: is damaged" in said
    # the figures of a round are whole where only its texts are damaged
    assert [one["round"] for one in json.loads((tmp_path / "summary.json").read_text())["rounds"]] == [0, 2]
    assert (tmp_path / "report.html").is_file()


def test_a_summary_that_was_cut_is_put_aside_and_written_again(tmp_path):
    store = RunStore(tmp_path)
    (tmp_path / "summary.json").write_text('{"guard": {"act')
    with pytest.warns(UserWarning, match=r"summary\.json: is damaged .* kept as .*summary\.json\.damaged"):
        store.update_summary(name="x")
    assert store.summary() == {"name": "x"}
    assert (tmp_path / "summary.json.damaged").read_text() == '{"guard": {"act'
