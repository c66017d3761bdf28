"""A first round that takes the candidates of another run makes what it would have made, without the model."""

import json
from dataclasses import replace

import pytest

from callbacks.i2c_reweighting import I2CReweighting
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.rounds.engine import RoundEngine
from lightning_c3l.rounds.generation import GenerationConfig
from lightning_c3l.rounds.store import RunStore
from tests.helpers.round_doubles import Data, Run, made
from tests.helpers.tiny import load_tiny

WRITING = GenerationConfig("scenes", sampling=Sampling(3, 4, 1.0), begin="Question: Where are the circles?\nAnswer:")


@pytest.fixture(scope="module")
def module(tiny_checkpoint) -> C3LModule:
    return C3LModule(load_tiny(tiny_checkpoint), WRITING, LossConfig())


@pytest.fixture(scope="module")
def earlier(module, tmp_path_factory):
    """Folder of a run with a first round of three images."""
    folder = tmp_path_factory.mktemp("earlier")
    made(module, folder, 3)
    return folder


@pytest.fixture
def without_model(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the model was asked")

    monkeypatch.setattr(RoundEngine, "make_records", refuse)


def reuse(earlier, folder, module, count=3, **options):
    data = Data(count)
    I2CReweighting(reuse=str(earlier), **options).on_fit_start(Run(folder, data), module)
    return data.handed[0][1], RunStore(folder).read_round(0)


def test_the_same_options_make_the_same_round(module, earlier, tmp_path, without_model):
    before = RunStore(earlier).read_round(0)
    groups, stored = reuse(earlier, tmp_path, module)
    assert list(stored.candidates) == list(before.candidates)
    assert list(groups) == list(stored.groups) == list(before.groups)
    manifests = [json.loads((run / "rounds" / "0" / "manifest.json").read_text()) for run in (earlier, tmp_path)]
    assert manifests[0] == manifests[1]


def test_the_selection_is_made_anew_for_another_margin_and_another_head(
    tiny_checkpoint, earlier, tmp_path, without_model
):
    other = C3LModule(load_tiny(tiny_checkpoint), WRITING, LossConfig(form="representation", projection_size=16))
    groups, stored = reuse(earlier, tmp_path, other, margin=1e9)
    before = RunStore(earlier).read_round(0)
    assert [one.candidate for one in stored.candidates] == [one.candidate for one in before.candidates]
    assert any(one.status == "negative" for one in before.candidates)
    # nothing is that much worse
    assert all(not group.negatives for group in groups)
    assert {one.status for one in stored.candidates} <= {"positive", "margin", "duplicate", "rejected"}


def test_answers_of_the_prior_are_taken_too(module, earlier, tmp_path, monkeypatch):
    I2CReweighting(negatives="candidates+blind+shuffled").on_fit_start(Run(tmp_path / "both", Data(3)), module)
    before = RunStore(tmp_path / "both").read_round(0)
    monkeypatch.delattr(RoundEngine, "make_records")
    _, stored = reuse(tmp_path / "both", tmp_path / "blind", module, negatives="blind")
    expected = [one.candidate for one in before.answers if one.candidate.origin == "blind"]
    assert [one.candidate for one in stored.answers] == expected
    assert expected
    negatives = [one for group in stored.groups for one in group.negatives]
    assert {one.candidate.origin for one in negatives} == {"blind"}
    assert reuse(tmp_path / "both", tmp_path / "none", module)[1].answers == ()
    for folder, options in ((earlier, {}), (tmp_path / "both", {"reading": "gap"})):
        with pytest.raises(ValueError, match=r"i2c\.reuse: .* lacks the further answers .* i2c\.negatives: cand"):
            reuse(folder, tmp_path / "other", module, negatives="blind", **options)


def test_other_options_of_generation_are_refused(module, earlier, tmp_path, without_model, monkeypatch):
    monkeypatch.setattr(module, "writing", replace(WRITING, sampling=Sampling(3, 4, 0.5)))
    with pytest.raises(ValueError, match=r"i2c\.reuse: .* made with temperature=1\.0, this run has temperature=0\.5"):
        reuse(earlier, tmp_path, module)


def test_other_images_are_refused(module, earlier, tmp_path, without_model):
    with pytest.raises(ValueError, match=r"i2c\.reuse: .* made with images=3, this run has images=4"):
        reuse(earlier, tmp_path, module, count=4)
    data = Data(3)
    data.changed = {data.source("images")[1][0]: "another one"}
    with pytest.raises(ValueError, match=r"i2c\.reuse: images of .* have changed"):
        I2CReweighting(reuse=str(earlier)).on_fit_start(Run(tmp_path / "other", data), module)


def test_descriptions_that_were_not_made_are_missed(module, earlier, tmp_path, without_model, monkeypatch):
    monkeypatch.setattr(module, "loss", LossConfig(form="representation", anchor="description"))
    with pytest.raises(ValueError, match=r"has no descriptions of its images, which loss\.anchor needs"):
        reuse(earlier, tmp_path, module)


def test_a_run_without_a_finished_round_is_refused(module, tmp_path, without_model):
    with pytest.raises(ValueError, match=r"i2c\.reuse: .*nowhere.*no finished round here"):
        reuse(tmp_path / "nowhere", tmp_path, module)
