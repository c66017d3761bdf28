"""The benchmark of rounds without a model, at sizes too small to say anything about speed."""

import gc
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from experiments.scale.run import run_scale
from experiments.scale.stages import STAGES, measure
from experiments.scale.stub import Stopped, StubLVLM, StubModule
from lightning_c3l.cli.bench_scale import main
from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.records import exchange
from lightning_c3l.rounds.journal import Journal
from lightning_c3l.rounds.round_selection import RoundSelection
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.rounds.templates import parse
from lightning_c3l.runs.row_index import RowIndex

IMAGES = 200


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, dict[str, float]]]]:
    folder = tmp_path_factory.mktemp("scale")
    return folder, {stage: measure(stage, folder, IMAGES) for stage in STAGES}


def test_stages_make_a_round_a_data_set_and_a_page(run: tuple[Path, object]) -> None:
    folder, _ = run
    candidates = RunStore(folder).read_round(0).candidates
    assert len(candidates) == 20 * IMAGES
    shares = {
        status: sum(one.status == status for one in candidates) / len(candidates)
        for status in ("rejected", "duplicate")
    }
    assert 0.01 < shares["rejected"] < 0.06
    assert 0.05 < shares["duplicate"] < 0.25
    assert len(json.loads((folder / "vlit.json").read_text())) == IMAGES
    assert (folder / "report.html").is_file()


def test_every_phase_is_measured(run: tuple[Path, dict[str, dict[str, dict[str, float]]]]) -> None:
    found = {stage: set(phases) for stage, phases in run[1].items()}
    assert found["make round"] == found["make data set"] == {"generate, score"}
    assert found["round"] == {"start, end", "gather", "select", "store", "hand over"}
    assert found["data set"] == {"start, end", "gather", "select", "export"}
    for phases in run[1].values():
        for figures in phases.values():
            assert figures["seconds"] > 0
            assert figures["cpu_seconds"] > 0
            # the imports alone take more than 100 MB
            assert figures["peak_bytes"] > 1e8


def test_what_gathering_and_selecting_held_is_gone_when_a_round_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = list[str]()
    write_round = RunStore.write_round

    def look(*args: Any) -> None:
        kinds = (RoundSelection, Journal, RowIndex)
        held.extend(type(one).__name__ for one in gc.get_objects() if type(one) in kinds)
        write_round(*args)

    measure("make round", tmp_path, 20)
    gc.collect()
    monkeypatch.setattr(RunStore, "write_round", look)
    measure("round", tmp_path, 20)
    assert (tmp_path / "rounds" / "0" / "round.json").is_file()
    assert not held


def test_texts_depend_on_the_seed_alone_and_most_can_be_parsed() -> None:
    requests = [GenerationRequest("any", None, seed) for seed in range(200)]
    first = StubLVLM().generate(requests, Sampling(4))
    assert StubLVLM().generate(requests[::-1], Sampling(4))[::-1] == first
    texts = [text for own in first for text in own]
    assert len(set(texts)) < len(texts) == 800
    assert 0.9 < sum(not parse(text).rejected for text in texts) / 800 < 1


def test_scores_depend_on_the_pair_alone() -> None:
    chats = [exchange(f"What is {n}?", "word " * Random(n).randint(1, 9)) for n in range(6)]
    together = StubLVLM().score([()], [chats])
    for row, chat in enumerate(chats):
        alone = StubLVLM().score([()], [[chat]])
        count = len(chat[1].text.split())
        assert int(together.mask[row].sum()) == int(alone.mask.sum()) == count
        assert torch.equal(together.logp_image[row, :count], alone.logp_image[0, :count])


def test_a_stub_that_is_told_to_stops() -> None:
    lvlm = StubModule(stop_after=1).lvlm
    chats = [[exchange("What is it?", "A dog.")]]
    lvlm.score([()], chats)
    with pytest.raises(Stopped):
        lvlm.score([()], chats)


def test_extrapolation_is_the_line_through_the_two_largest_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    # 3 s and 5 bytes at no candidate, and 2 s and 7 bytes each; the smallest size is off that line
    def line(stage: str, folder: Path, images: int) -> dict[str, dict[str, float]]:
        spoilt = 1000 * (images == 20)
        return {"phase": {"seconds": 3 + 40.0 * images + spoilt, "peak_bytes": 5 + 140.0 * images + spoilt}}

    monkeypatch.setattr("experiments.scale.run._in_child", line)
    kept = list[int]()
    found = run_scale([400, 1000, 2000], 5000, lambda some: kept.append(sum(map(len, some["measured"].values()))))
    # after each stage, and with the extrapolation at the end
    assert kept == [*range(1, 3 * len(STAGES) + 1), 3 * len(STAGES)]
    assert set(found["extrapolated"]) == set(STAGES)
    for phases in found["extrapolated"].values():
        assert phases["phase"] == pytest.approx({"seconds": 10003, "peak_bytes": 35005})


def test_sizes_that_nothing_can_be_measured_with(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--candidates must be two or more sizes"):
        main(["--out", str(tmp_path), "--candidates", "1000", "400"])


@pytest.mark.slow
def test_the_verb_measures_in_processes_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--candidates", "4000", "8000", "--target", "16000"]) == 0
    found = json.loads((tmp_path / "bench-scale.json").read_text())
    assert set(found["measured"]) == {"4000", "8000"}
    assert found["extrapolated"]["data set"]["export"]["seconds"] > 0
    assert "extrapolated" in capsys.readouterr().out
