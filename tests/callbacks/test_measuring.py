import json
from pathlib import Path

import pytest
import torch

from callbacks.measuring import measured_once, origin, share_out
from lightning_c3l.distributed import collectives
from lightning_c3l.modules.c3l import C3LModule
from lightning_c3l.rounds.generation import GenerationConfig
from lightning_c3l.rounds.run import engine_of
from lightning_c3l.rounds.store import RunStore
from tests.helpers.ranks import run_ranks
from tests.helpers.tiny import load_tiny


def numbered(own, first):
    assert own
    return [f"{first + place}{item}" for place, item in enumerate(own)]


def share_letters() -> None:
    assert share_out("abcde", numbered) == ["0a", "1b", "2c", "3d", "4e"]
    # fewer items than processes: the last one has nothing to do, and hears of it all the same
    assert share_out("a", numbered) == ["0a"]
    assert share_out("", numbered) == []


def test_one_process_does_everything():
    share_letters()


def test_figures_are_measured_again_only_where_something_changed(tmp_path):
    store, measured = RunStore(tmp_path), []

    def measure():
        measured.append(1)
        return {"truth": 0.25 * len(measured)}

    assert measured_once(store, "writers", "base", "one", measure) == {"truth": 0.25}
    assert measured_once(store, "writers", "tuned", "one", measure) == {"truth": 0.5}
    assert measured_once(RunStore(tmp_path), "writers", "base", "one", measure) == {"truth": 0.25}
    assert measured_once(store, "writers", "base", "two", measure) == {"truth": 0.75}
    assert store.summary()["writers"] == {"base": {"truth": 0.75}, "tuned": {"truth": 0.5}}
    # of the same name in another part
    assert measured_once(store, "others", "base", "two", measure) == {"truth": 1.0}


def measure_on_ranks(rank: int, folder: str) -> None:
    share_letters()
    measured = []

    def measure():
        measured.append(rank)
        return {"truth": 0.5}

    # only the first process has the run folder, and its digest counts
    store = RunStore(Path(folder) / str(rank))
    assert measured_once(store, "writers", "base", "one", measure) == {"truth": 0.5}
    assert measured_once(store, "writers", "base", ("one", "two")[rank], measure) == {"truth": 0.5}
    assert measured == [rank]
    assert collectives.gather(store.folder.exists()) == [True, False]


def test_two_processes_share_and_the_first_keeps_and_decides(tmp_path):
    run_ranks(measure_on_ranks, str(tmp_path))
    assert json.loads((tmp_path / "0/summary.json").read_text())["writers"] == {"base": {"truth": 0.5}}


def test_an_origin_knows_weights_settings_and_data(tiny_checkpoint):
    module = C3LModule(load_tiny(tiny_checkpoint), GenerationConfig("scenes"))
    found = [
        origin(engine_of(module), ["a", "b"], 3),
        origin(engine_of(module), ["a"], 3),
        origin(engine_of(module), ["a", "b"], 4),
    ]
    assert origin(engine_of(module), ["a", "b"], 3) == found[0]
    weight = next(one for name, one in module.named_parameters() if "lora_A" in name and one.requires_grad)
    with torch.no_grad():
        weight[0, 0] += 1e-6
    found.append(origin(engine_of(module), ["a", "b"], 3))
    module.seed = 1
    found.append(origin(engine_of(module), ["a", "b"], 3))
    module.writing = GenerationConfig("general")
    found.append(origin(engine_of(module), ["a", "b"], 3))
    assert len(set(found)) == 6


@pytest.mark.parametrize("count", [0, 1, 7])
def test_work_is_handed_whole_neighbours(count):
    calls = []
    share_out(range(count), lambda own, first: calls.append((list(own), first)) or own)
    assert calls == ([(list(range(count)), 0)] if count else [])
