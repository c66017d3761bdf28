"""Rounds that go on after an interruption, with other options, or with other images."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from callbacks.checkpointing import Checkpointing
from callbacks.i2c_reweighting import I2CReweighting
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.rounds.engine import RoundEngine
from lightning_c3l.rounds.generation import GenerationConfig
from lightning_c3l.rounds.store import RunStore
from tests.helpers.round_doubles import Data, Run, made
from tests.helpers.tiny import load_tiny


@pytest.fixture(scope="module")
def module(tiny_checkpoint) -> C3LModule:
    writing = GenerationConfig(
        "scenes", sampling=Sampling(3, 4, 1.0), begin="Question: Where are the circles?\nAnswer:"
    )
    return C3LModule(load_tiny(tiny_checkpoint), writing, LossConfig(form="representation", anchor="description"))


def remembered(module, monkeypatch) -> list[str]:
    """Seeds of the texts that are written from now on."""
    asked, generate = [], type(module.lvlm).generate

    def noted(lvlm, requests, *more):
        asked.extend(one.seed for one in requests)
        return generate(lvlm, requests, *more)

    monkeypatch.setattr(type(module.lvlm), "generate", noted)
    return asked


@pytest.fixture
def bare(module, monkeypatch):
    """Without descriptions and answers of the prior, so that only texts are written."""
    monkeypatch.setattr(module, "loss", LossConfig(contrastive_weight=0.0))
    return module


def test_an_unfinished_round_goes_on_where_it_was(bare, tmp_path, monkeypatch):
    whole = made(bare, tmp_path / "whole", 4)
    score = RoundEngine.score
    monkeypatch.setattr(RoundEngine, "score", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        made(bare, tmp_path / "cut", 4)
    assert RunStore(tmp_path / "cut").rounds() == []
    monkeypatch.setattr(RoundEngine, "score", score)
    asked = remembered(bare, monkeypatch)
    again = made(bare, tmp_path / "cut", 4)
    assert asked == []
    assert (again.candidates, again.groups) == (whole.candidates, whole.groups)
    assert not (tmp_path / "cut" / "rounds" / "0" / "parts").exists()


def test_a_finished_round_that_training_has_not_seen_is_not_made_again(bare, tmp_path, monkeypatch):
    whole = made(bare, tmp_path, 3)
    asked = remembered(bare, monkeypatch)
    assert made(bare, tmp_path, 3).candidates == whole.candidates
    assert asked == []


def test_a_damaged_round_that_training_has_not_seen_is_made_again(bare, tmp_path):
    whole = made(bare, tmp_path, 3)
    file = tmp_path / "rounds" / "0" / "groups-00000.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.warns(UserWarning, match=r"groups-00000\.jsonl: is not what was written .* made again"):
        again = made(bare, tmp_path, 3)
    assert (again.candidates, again.groups) == (whole.candidates, whole.groups)


def test_another_option_is_refused_until_the_round_is_restarted(bare, tmp_path, monkeypatch):
    made(bare, tmp_path, 3)
    monkeypatch.setattr(bare, "writing", replace(bare.writing, sampling=Sampling(3, 5, 1.0)))
    with pytest.raises(
        ValueError, match=r"created with max_new_tokens=4, got max_new_tokens=5: .*--i2c\.restart_round true"
    ):
        made(bare, tmp_path, 3)
    data = Data(3)
    monkeypatch.undo()
    monkeypatch.setattr(bare, "loss", LossConfig(contrastive_weight=0.0))
    with pytest.raises(ValueError, match=r"created with thresholds=.*'margin': 0\.0.*'margin': 0\.5"):
        I2CReweighting(margin=0.5).on_fit_start(Run(tmp_path, data), bare)
    callback = I2CReweighting(margin=0.5, restart_round=True)
    callback.on_fit_start(Run(tmp_path, data), bare)
    manifest = json.loads((tmp_path / "rounds/0/manifest.json").read_text())
    assert manifest["thresholds"]["margin"] == 0.5
    assert data.handed


def test_a_restarted_round_that_was_interrupted_goes_on(bare, tmp_path, monkeypatch):
    stopped(bare, tmp_path, 3, monkeypatch)
    asked = remembered(bare, monkeypatch)
    # the words of the command that was interrupted
    I2CReweighting(restart_round=True).on_fit_start(Run(tmp_path, Data(3)), bare)
    assert asked == []
    # another listing is another round
    data = Data(4)
    I2CReweighting(restart_round=True).on_fit_start(Run(tmp_path, data), bare)
    assert len({group.image for group in data.handed[0][1]}) == 4


def test_other_weights_are_refused_before_training_and_expected_after(bare, tmp_path):
    first = I2CReweighting()
    first.on_fit_start(Run(tmp_path, Data(3)), bare)
    weight = next(p for p in bare.parameters() if p.requires_grad)
    before = weight.detach().clone()
    try:
        weight.data += 1
        with pytest.raises(ValueError, match="created with weights"):
            made(bare, tmp_path, 3)
        resumed, data = I2CReweighting(), Data(3)
        resumed.load_state_dict(first.state_dict())
        resumed.on_fit_start(Run(tmp_path, data), bare)
        assert data.handed[0][0] == 0
        # the command that made it once more; with other options than it was made with
        same, other = (I2CReweighting(restart_round=True, margin=margin) for margin in (0.0, 0.5))
        same.load_state_dict(first.state_dict())
        same.on_fit_start(Run(tmp_path, data), bare)
        assert len(data.handed) == 2
        other.load_state_dict(first.state_dict())
        with pytest.raises(ValueError, match=r"created with thresholds=.*'margin': 0\.0.*a new run"):
            other.on_fit_start(Run(tmp_path, data), bare)
    finally:
        weight.data.copy_(before)


def test_a_checkpoint_is_left_before_a_round_is_made(bare, tmp_path, monkeypatch):
    data, callback, saved = Data(2), I2CReweighting(), []
    run = Run(tmp_path, data)
    run.callbacks = [Checkpointing(1, None)]

    def save(path, weights_only) -> None:
        saved.append((dict(callback.state_dict()), len(data.handed)))
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(b"")

    run.save_checkpoint = save
    callback.on_fit_start(run, bare)
    callback.on_train_epoch_start(run, bare)
    callback.on_train_epoch_end(run, bare)
    assert saved == [({"round": 0, "wanted": 1, "ended": 0, "trained": 0.0}, 1)]
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    assert [number for number, _, _ in data.handed] == [0, 1]


def test_a_finished_run_that_is_given_more_epochs_makes_the_next_round(bare, tmp_path):
    data, first = Data(2), I2CReweighting()
    run = Run(tmp_path, data)
    run.max_epochs = 1
    first.on_fit_start(run, bare)
    first.on_train_epoch_start(run, bare)
    first.on_train_epoch_end(run, bare)
    assert [number for number, _, _ in data.handed] == [0]
    for epochs, expected in ((1, [0]), (2, [1])):
        data, resumed = Data(2), I2CReweighting()
        resumed.load_state_dict(first.state_dict())
        run = Run(tmp_path, data)
        run.max_epochs = epochs
        resumed.on_fit_start(run, bare)
        assert [number for number, _, _ in data.handed] == expected


@pytest.mark.parametrize("limits", [{"should_stop": True}, {"max_steps": 7, "global_step": 7}])
def test_a_run_that_is_stopped_at_the_end_of_an_epoch_makes_the_next_round_when_it_goes_on(bare, tmp_path, limits):
    data, first = Data(2), I2CReweighting()
    run = Run(tmp_path, data)
    first.on_fit_start(run, bare)
    vars(run).update(limits)
    first.on_train_epoch_start(run, bare)
    first.on_train_epoch_end(run, bare)
    assert [number for number, _, _ in data.handed] == [0]
    for more, expected in (
        ({"should_stop": True}, [0]),
        ({"max_epochs": 1}, [0]),
        ({"max_epochs": -1}, [1]),
        ({}, [1]),
    ):
        data, resumed = Data(2), I2CReweighting()
        resumed.load_state_dict(first.state_dict())
        run = Run(tmp_path, data)
        vars(run).update(more)
        resumed.on_fit_start(run, bare)
        assert [number for number, _, _ in data.handed] == expected


def test_no_round_follows_an_epoch_that_is_cut_short(bare, tmp_path):
    data, callback = Data(2), I2CReweighting()
    run = Run(tmp_path, data)
    callback.on_fit_start(run, bare)
    before = callback.state_dict()
    run.is_last_batch, run.max_steps, run.global_step, run.max_epochs = False, 3, 3, 1
    callback.on_train_epoch_start(run, bare)
    callback.on_train_epoch_end(run, bare)
    assert callback.state_dict() == before
    assert [number for number, _, _ in data.handed] == [0]


def stopped(module, folder, count: int, monkeypatch) -> list[str]:
    """A round of which all texts and no scores have been made; its images."""
    with monkeypatch.context() as patch:
        patch.setattr(RoundEngine, "score", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            made(module, folder, count)
    return Data(count).source("images")[1]


def test_other_images_under_the_same_names_are_refused_while_a_round_is_made(bare, tmp_path, monkeypatch):
    keys = stopped(bare, tmp_path, 4, monkeypatch)
    data = Data(4)
    data.changed = {keys[2]: "another picture"}
    with pytest.raises(ValueError, match=rf"image {keys[2]} has changed since .*1 of 4 .*--i2c\.restart_round true"):
        I2CReweighting().on_fit_start(Run(tmp_path, data), bare)
    I2CReweighting(restart_round=True).on_fit_start(Run(tmp_path, data), bare)
    assert {group.image for group in data.handed[0][1]} == set(keys)


def test_a_round_goes_on_without_an_image_that_is_gone_and_the_next_takes_what_is_there(bare, tmp_path, monkeypatch):
    whole = made(bare, tmp_path / "whole", 4)
    keys = stopped(bare, tmp_path / "run", 4, monkeypatch)
    # one went, two came
    data, callback = Data(6), I2CReweighting()
    data.gone, run = {keys[1]}, Run(tmp_path / "run", data)
    with pytest.warns(UserWarning, match=rf"image {keys[1]} is left out: gone or broken since the round was begun"):
        callback.on_fit_start(run, bare)
    stored = RunStore(tmp_path / "run").read_round(0)
    expected = [one.candidate for one in whole.candidates if one.candidate.image != keys[1]]
    assert [one.candidate for one in stored.candidates] == expected
    callback.on_train_epoch_start(run, bare)
    callback.on_train_epoch_end(run, bare)
    assert {group.image for group in data.handed[1][1]} == set(data.source("images")[1])
    assert len(data.source("images")[1]) == 5


def test_a_round_whose_images_are_mostly_gone_is_refused(bare, tmp_path, monkeypatch):
    keys = stopped(bare, tmp_path, 4, monkeypatch)
    data = Data(4)
    data.gone = set(keys[:3])
    with pytest.raises(ValueError, match=rf"3 of the 4 images .* gone or broken, {keys[0]} among them"):
        I2CReweighting().on_fit_start(Run(tmp_path, data), bare)


def test_a_round_that_is_trained_on_keeps_its_own_images(bare, tmp_path, caplog):
    first, before = I2CReweighting(), Data(4)
    first.on_fit_start(Run(tmp_path, before), bare)
    keys = before.source("images")[1]

    def resumed(data) -> list[str]:
        callback = I2CReweighting()
        callback.load_state_dict(first.state_dict())
        callback.on_fit_start(Run(tmp_path, data), bare)
        return [group.image for group in data.handed[0][1]]

    with caplog.at_level("INFO"):
        assert resumed(Data(5)) == [group.image for group in before.handed[0][1]]
    assert "data.images: 1 added, 0 removed and 0 changed since the last start" in caplog.text
    fewer = Data(4)
    fewer.gone, fewer.changed = {keys[0]}, {keys[1]: "another picture"}
    with pytest.warns(UserWarning, match=r"8 of 16 groups are left out, since 2 images are gone or changed"):
        assert set(resumed(fewer)) == {*keys[2:]}
    fewer.gone, fewer.handed = set(keys[:2]) | {keys[2]}, []
    with pytest.raises(ValueError, match=r"data\.images: 3 of the 4 images that round 0 is trained on are gone"):
        resumed(fewer)


def test_a_run_folder_of_an_earlier_version_goes_on(bare, tmp_path, monkeypatch):
    stopped(bare, tmp_path, 4, monkeypatch)
    (tmp_path / "rounds/0/images.json").unlink()
    assert len(made(bare, tmp_path, 4).candidates) == 4 * 4 * 3
    (tmp_path / "rounds/0/images.json").unlink()
    data, resumed = Data(5), I2CReweighting()
    resumed.load_state_dict({"round": 0, "wanted": 0})
    resumed.on_fit_start(Run(tmp_path, data), bare)
    assert len(data.handed[0][1]) == 16


def test_a_round_that_is_gone_is_named(bare, tmp_path):
    resumed = I2CReweighting()
    resumed.load_state_dict({"round": 0, "wanted": 0})
    with pytest.raises(ValueError, match=r"rounds/0: no finished round here; .*training on round 0: put it back"):
        resumed.on_fit_start(Run(tmp_path, Data(2)), bare)


def test_rows_that_were_left_behind_are_taken_away(bare, tmp_path):
    made(bare, tmp_path, 2)
    left = tmp_path / "rounds" / "0" / "parts"
    left.mkdir()
    made(bare, tmp_path, 2)
    assert not left.exists()
