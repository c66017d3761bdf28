"""The guard's decisions, on a module whose writing is set by one trained weight."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer
from safetensors.torch import load_file

from callbacks.adapter_export import AdapterExport
from callbacks.guard_rails import GuardRails
from callbacks.i2c_reweighting import I2CReweighting
from data_modules.rounds import RoundDataModule
from data_modules.scenes import SceneTruth
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.rounds.collapse import CollapseLimits
from lightning_c3l.rounds.generation import GenerationConfig
from lightning_c3l.rounds.store import RunStore
from tests.helpers.guard_doubles import Data, Partitioned, Run, Scenes, Writer, be_own_engine
from tests.helpers.ranks import run_ranks
from tests.helpers.tiny import load_tiny


@pytest.fixture(autouse=True)
def _own_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    be_own_engine(monkeypatch)


def test_a_run_that_gets_better_is_left_alone(tmp_path):
    module, run = Writer(), Run(tmp_path, GuardRails("stop"))
    told = run.go(module, (0.5, {}), (0.75, {}), (0.625, {}))
    assert [state["held_out"] for state in told["states"]] == [0.5, 0.75, 0.625]
    assert not any(state["tripped"] for state in told["states"])
    # the worth of what is written about each image, of the same images in all states
    images = json.loads((tmp_path / "summary.json").read_text())["images"]["guard"]
    assert len(images) > 1
    assert [state["by_image"] for state in told["states"]] == [dict.fromkeys(images, w) for w in (0.5, 0.75, 0.625)]
    assert told["source"] == "images"
    # the best one is kept, but where no limit is broken, the last one goes out
    assert told["best"] == {"round": 1, "held_out": 0.75}
    assert told["exported"] == 2
    assert module.worth.item() == 0.625
    assert (tmp_path / "best" / "adapter").read_text() == "0.75"
    assert module.scorers == {"reference"}


def test_stop_ends_training_and_puts_the_best_state_back(tmp_path):
    module, run = Writer(), Run(tmp_path, GuardRails("stop"))
    # a higher criterion does not count for a state that broke a limit
    with pytest.warns(UserWarning, match=r"state 2: entropy of question types went from 1\.250 at first to 0\.600"):
        told = run.go(module, (0.5, {}), (0.75, {}), (4.0, {"kind_entropy": 0.6}), (5.0, {}), (5.0, {}))
    assert run.should_stop
    assert [state["round"] for state in told["states"]] == [0, 1, 2]
    assert (told["best"]["round"], told["exported"]) == (1, 1)
    assert module.worth.item() == 0.75


def test_a_warning_changes_nothing(tmp_path):
    module, run = Writer(), Run(tmp_path, GuardRails("warn"))
    with pytest.warns(UserWarning, match="state 1: parsed rate"):
        told = run.go(module, (0.5, {}), (0.75, {"parsed_rate": 0.5}), (0.875, {}), (0.875, {}))
    assert not run.should_stop
    # the third state looks well, but was trained on what a broken one wrote
    assert [len(state["tripped"]) for state in told["states"]] == [0, 1, 0, 0]
    assert (told["best"]["round"], told["exported"]) == (0, 3)
    assert module.worth.item() == 0.875


def test_a_score_that_rises_for_the_model_alone_is_told(tmp_path):
    module, run = Writer(), Run(tmp_path, GuardRails("warn"))
    # state 1: 2 times as much by both; state 2: 3.2 times by the run's scorer, 2 times by the starting model
    rounds = (0.5, {"i2c_mean": 0.25}), (1.0, {"i2c_mean": 0.5}), (1.0, {"i2c_mean": 0.8}), (1.0, {})
    with pytest.warns(UserWarning, match="state 2: S.* went from 0.500 at first to 0.800, above 1.5 times as much"):
        told = run.go(module, *rounds)
    assert [len(state["tripped"]) for state in told["states"]] == [0, 0, 1, 0]


def test_the_frozen_scorer_sees_what_the_rounds_own_figures_hide(tmp_path):
    module, run = Writer(), Run(tmp_path, GuardRails("stop"))
    with pytest.warns(
        UserWarning, match=r"state 1: criterion on the rounds' own images went from 0\.500 at first to 0\.375"
    ):
        told = run.go(module, (0.5, {}), (0.375, {"image_contrast": 0.9}), (0.5, {}))
    assert told["exported"] == 0
    assert module.worth.item() == 0.5


def test_the_state_after_the_last_round_is_judged_by_what_it_writes(tmp_path):
    module, run = Writer(), Run(tmp_path, GuardRails("stop"))
    with pytest.warns(UserWarning, match="state 2: criterion on the rounds' own images"):
        told = run.go(module, (0.5, {}), (0.75, {}), (0.125, {}))
    assert not run.should_stop
    assert told["exported"] == 1
    assert module.worth.item() == 0.75


def test_stop_is_refused_where_weights_cannot_be_put_back(tmp_path):
    run = Run(tmp_path, GuardRails("stop"))
    run.made(0)
    with pytest.raises(ValueError, match=r"guard\.action: stop .* ZeRO stage 3"):
        run.guard.on_fit_start(run, Partitioned())


def test_off_does_nothing(tmp_path):
    module, run = Writer(), Run(tmp_path, GuardRails("off"))
    run.made(0)
    run.guard.on_fit_start(run, module)
    run.guard.on_fit_end(run, module)
    assert not module.asked
    assert not (tmp_path / "best").exists()
    assert not (tmp_path / "summary.json").exists()


def test_all_states_write_about_the_images_of_the_first(tmp_path):
    module, run = Writer(), Run(tmp_path, GuardRails(images=4), Data(12, held_out=6))
    run.made(0)
    run.guard.on_fit_start(run, module)
    state, first = run.guard.state_dict(), module.asked[0][0]

    def resumed(held_out: int | None) -> Run:
        again = Run(tmp_path, GuardRails(images=4), Data(14, held_out))
        again.guard.load_state_dict(state)
        again.made(0)
        again.guard.on_fit_start(again, module)
        return again

    again = resumed(held_out=60)
    # the first round's own folder is not needed any more
    shutil.rmtree(tmp_path / "rounds" / "0")
    again.made(1)
    again.guard.on_train_epoch_end(again, module)
    assert module.asked[-1][0] == first
    for held_out in (3, None):
        with pytest.raises(ValueError, match=r"data\.held_out: \d of the 4 images .* --guard\.action off"):
            resumed(held_out)


def test_a_guard_that_was_off_cannot_begin_later(tmp_path):
    module, run = Writer(), Run(tmp_path, GuardRails("warn"))
    run.made(1)
    with pytest.raises(ValueError, match=r"guard\.action: the guard was off when round 0 .* round 1 against"):
        run.guard.on_fit_start(run, module)


def test_a_damaged_best_state_is_named_at_the_start(tmp_path):
    module, run = Writer(), Run(tmp_path, GuardRails("warn"))
    run.made(0)
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "state.json").write_text('{"round": 0, "hel')
    with pytest.raises(ValueError, match=r"best/state\.json: is damaged .*; remove .*best to go on"):
        run.guard.on_fit_start(run, module)


def test_a_resumed_run_judges_no_state_twice(tmp_path):
    module, run = Writer(), Run(tmp_path, GuardRails("stop"))
    run.made(0)
    run.guard.on_fit_start(run, module)
    run.guard.on_train_epoch_start(run, module)
    state = json.loads(json.dumps(run.guard.state_dict()))
    # killed in the middle of the epoch; then round 1 was made, but not judged, before it was killed again
    again = Run(tmp_path, GuardRails("stop"))
    again.guard.load_state_dict(state)
    again.made(0)
    seen = len(module.asked)
    again.guard.on_fit_start(again, module)
    assert len(module.asked) == seen
    again.made(1, parsed_rate=0.1)
    with pytest.warns(UserWarning, match="state 1: parsed rate"):
        again.guard.on_train_epoch_end(again, module)
    assert again.should_stop
    # killed while the data set was written: the decision stands, and nothing is judged again
    last = Run(tmp_path, GuardRails("stop"))
    last.guard.load_state_dict(again.guard.state_dict())
    last.made(1, parsed_rate=0.1)
    with torch.no_grad():
        module.worth.fill_(9.0)
    seen = len(module.asked)
    last.guard.on_fit_start(last, module)
    last.guard.on_fit_end(last, module)
    assert last.should_stop
    assert len(module.asked) == seen
    assert module.worth.item() == 0.5


def test_a_state_that_is_judged_again_after_a_kill_is_the_same(tmp_path):
    module, first = Writer(), Run(tmp_path, GuardRails())
    first.go(module, (0.5, {}), (0.75, {}), (0.75, {}))
    told = Run(tmp_path, GuardRails()).go(module, (0.5, {}), (0.75, {}), (0.75, {}))
    assert [state["round"] for state in told["states"]] == [0, 1, 2]
    assert told["best"] == {"round": 1, "held_out": 0.75}
    assert (tmp_path / "best" / "adapter").read_text() == "0.75"


@pytest.mark.parametrize(("reading", "inflated"), [("answer", 2.0), ("gap", 4.0)])
def test_inflation_compares_means_of_the_reading_that_the_rounds_go_by(tmp_path, reading, inflated):
    """The rounds' mean is 1.0; the starting model gives the guard's images 0.5 by answer and 0.25 by gap."""

    class Gapped(Writer):
        def score(self, *args: Any, **more: Any) -> list[ScoredCandidate]:
            found = super().score(*args, **more)
            return [replace(one, scores=replace(one.scores, gap=one.scores.answer / 2)) for one in found]

    run = Run(tmp_path, GuardRails(), reading=reading)
    told = run.go(Gapped(), (0.5, {"i2c_mean": 1.0}), (0.5, {}))
    assert told["states"][0]["inflation"] == pytest.approx(inflated)


@pytest.mark.parametrize(("data", "letter", "count"), [(Data(40), "i", 20), (Data(40, 30), "h", 20), (Data(9), "i", 9)])
def test_images_are_a_fixed_sample_of_the_held_out_ones(tmp_path, data, letter, count):
    module, run = Writer(), Run(tmp_path, GuardRails(images=20), data)
    run.go(module, (0.5, {}), (0.75, {}), (0.75, {}))
    written = [key for asked, _, _ in module.asked for key in asked]
    assert len(written) == 3 * count
    assert written[:count] == written[count : 2 * count] == written[2 * count :]
    assert len(set(written)) == count
    assert all(key.startswith(letter) for key in written)


@pytest.mark.parametrize("options", [{"action": "halt"}, {"images": 1}])
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=r"guard\."):
        GuardRails(**options)


def test_a_real_run_stops_and_exports_the_state_that_was_best(tiny_checkpoint, tmp_path):
    writing = GenerationConfig(
        "scenes", sampling=Sampling(2, 6, 1.0), begin="Question: Where are the circles?\nAnswer:"
    )
    # the contrastive head is drawn from the global generator, and how the answers change depends on it
    torch.manual_seed(0)
    module = C3LModule(load_tiny(tiny_checkpoint), writing, LossConfig(), OptimizerConfig(0.1))
    began = {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}
    # any change of the answers' length is too much
    limits = CollapseLimits(None, None, None, None, None, 1 + 1e-9)
    guard, steps = GuardRails("stop", limits, 4), list[int]()

    class Steps(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
            steps.append(trainer.current_epoch)

    trainer = Trainer(
        accelerator="cpu",
        max_epochs=4,
        callbacks=[I2CReweighting(), guard, AdapterExport(), Steps()],
        default_root_dir=tmp_path,
        reload_dataloaders_every_n_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with pytest.warns(UserWarning, match="state 1: mean answer length"):
        trainer.fit(module, datamodule=RoundDataModule("scenes:count=6,seed=1", truth=SceneTruth(), batch_size=8))
    told = RunStore(tmp_path).summary()["guard"]
    assert [state["round"] for state in told["states"]] == RunStore(tmp_path).rounds() == [0, 1]
    assert (told["best"]["round"], told["exported"]) == (0, 0)
    # one epoch moved the weights, which are back where they were, and so is the adapter that was exported
    assert set(steps) == {0}
    assert all(torch.equal(p, began[name]) for name, p in module.named_parameters() if name in began)
    exported = [load_file(tmp_path / folder / "adapter_model.safetensors") for folder in ("adapter", "best")]
    assert exported[0].keys() == exported[1].keys()
    assert all(torch.equal(value, exported[1][name]) for name, value in exported[0].items())


def test_the_guard_draws_nothing_that_training_would(tiny_checkpoint, tmp_path):
    writing = GenerationConfig(
        "scenes", sampling=Sampling(2, 4, 1.0), begin="Question: Where are the circles?\nAnswer:"
    )
    module, run = C3LModule(load_tiny(tiny_checkpoint), writing), Run(tmp_path, GuardRails(images=3), Scenes())
    run.made(0)
    modes = {name: part.training for name, part in module.named_modules()}
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    run.guard.on_fit_start(run, module)
    assert torch.equal(torch.rand(4), expected)
    assert {name: part.training for name, part in module.named_modules()} == modes
    (state,) = run.guard.state_dict()["states"]
    assert state["figures"]["images"] == 3
    assert math.isfinite(state["held_out"])


def _on_rank(rank: int, folder: str) -> None:
    module, run = Writer(), Run(Path(folder), GuardRails("stop", CollapseLimits(), 20), Data(40, 30))
    # only the first process sees the fall: the others must go with it
    fall = {"parsed_rate": 0.25} if rank == 0 else {}
    with pytest.MonkeyPatch.context() as patch:
        be_own_engine(patch)
        _judge_on_rank(rank, folder, module, run, fall)


def _judge_on_rank(rank: int, folder: str, module: Writer, run: Run, fall: dict[str, float]) -> None:
    run.datamodule.round = 0
    if rank == 0:
        run.made(0)
    run.guard.on_fit_start(run, module)
    with torch.no_grad():
        module.worth.fill_(0.75)
    run.guard.on_train_epoch_start(run, module)
    run.datamodule.round = 1
    if rank == 0:
        run.made(1, **fall)
    run.guard.on_train_epoch_end(run, module)
    run.guard.on_fit_end(run, module)
    left = {
        "stop": run.should_stop,
        "worth": module.worth.item(),
        "state": run.guard.state_dict(),
        "keys": module.asked,
    }
    (Path(folder) / f"rank-{rank}.json").write_text(json.dumps(left))


def test_two_processes_share_the_images_and_decide_as_one(tmp_path):
    run_ranks(_on_rank, str(tmp_path))
    one, two = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    alone, run = Writer(), Run(tmp_path / "alone", GuardRails("stop", CollapseLimits(), 20), Data(40, 30))
    with pytest.warns(UserWarning, match="state 1: parsed rate"):
        run.go(alone, (0.5, {}), (0.75, {"parsed_rate": 0.25}), (0.75, {}))
    assert one["stop"]
    assert two["stop"]
    assert one["worth"] == two["worth"] == alone.worth.item() == 0.5
    assert one["state"] == two["state"] == json.loads(json.dumps(run.guard.state_dict()))
    asked = sorted([*one["keys"], *two["keys"]])
    assert asked == sorted([list(call) for call in alone.asked])
    assert one["keys"]
    assert two["keys"]
