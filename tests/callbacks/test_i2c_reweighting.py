import json
import time
from collections import Counter
from dataclasses import replace

import pytest
import torch

import callbacks.i2c_reweighting
from callbacks.i2c_reweighting import I2CReweighting
from data_modules.scenes import SceneImages
from lightning_c3l.lvlm.base import GenerationRequest, LVLMError, Sampling
from lightning_c3l.lvlm.huggingface.fast_path import FastPath
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.rounds.generation import GenerationConfig
from lightning_c3l.rounds.store import RunStore
from tests.helpers.round_doubles import Data, Run, made
from tests.helpers.tiny import load_tiny

BEGIN = "Question: Where are the circles?\nAnswer:"


@pytest.fixture(scope="module")
def module(tiny_checkpoint) -> C3LModule:
    writing = GenerationConfig("scenes", sampling=Sampling(3, 4, 1.0), begin=BEGIN)
    return C3LModule(
        load_tiny(tiny_checkpoint),
        writing,
        LossConfig(form="representation", anchor="description", token_weights="none"),
    )


def test_a_round_is_kept_and_handed_over(module, tmp_path):
    data, callback = Data(4), I2CReweighting()
    callback.on_fit_start(Run(tmp_path, data), module)
    [(number, groups, descriptions)] = data.handed
    stored = RunStore(tmp_path).read_round(0)
    assert number == 0
    assert len(stored.candidates) == 4 * 4 * 3
    assert {one.verdict for one in stored.candidates} <= {"right", "wrong", "unanswerable", "unparsable"}
    assert len(groups) == len(stored.groups) == 16
    assert set(descriptions) == set(data.source("images")[1])
    for group in groups:
        others = [one.scores.answer for one in group.negatives]
        assert all(group.positive.scores.answer >= score for score in others)


def test_negatives_that_the_prior_gives(module, tmp_path):
    """The frozen starting model answers the questions of the positives without the image."""
    data, callback = Data(3), I2CReweighting(negatives="blind", weighting="none", replay=0.25)
    callback.on_fit_start(Run(tmp_path, data), module)
    stored = RunStore(tmp_path).read_round(0)
    plain = made(module, tmp_path / "plain", 3, negatives="candidates")
    assert [one.candidate for one in stored.candidates] == [one.candidate for one in plain.candidates]
    assert {one.status for one in stored.candidates} <= {"positive", "unused", "duplicate", "rejected"}
    assert stored.figures["truth_rate"] == plain.figures["truth_rate"]
    groups = [one for one in data.handed[0][1] if one.positive.status == "positive"]
    assert len([one for one in stored.answers if one.candidate.origin == "blind"]) == len(groups) * 3
    for group in groups:
        assert (group.weight, group.sampling_weight) == (1.0, 1.0)
        for one in group.negatives:
            assert (one.candidate.origin, one.status) == ("blind", "negative")
            assert one.candidate.question == group.positive.candidate.question
            assert one.scores.answer <= group.positive.scores.answer
    replayed = [one.positive.candidate for one in data.handed[0][1] if one.positive.status == "replay"]
    assert len(replayed) == round(len(groups) / 3)
    for one in replayed:
        request = GenerationRequest(one.instruction.text, SceneImages(3, seed=2).read(one.image))
        with module.inference_context(), module.lvlm.reference():
            assert module.lvlm.generate([request], Sampling(1, 4, 0.0)) == [[one.answer]]
        assert one.instruction.text == one.question == "Where are the circles?"
    manifest = json.loads((tmp_path / "rounds/0/manifest.json").read_text())
    assert (manifest["negatives"], manifest["weighting"]) == ("blind", "none")
    assert "negatives" not in json.loads((tmp_path / "plain/rounds/0/manifest.json").read_text())
    resumed = I2CReweighting(negatives="candidates")
    resumed.load_state_dict(callback.state_dict())
    with pytest.raises(ValueError, match="negatives='blind', got negatives=None"):
        resumed.on_fit_start(Run(tmp_path, Data(3)), module)


def test_a_margin_that_no_positive_has(module, tmp_path):
    with pytest.raises(ValueError, match=r"round 0 has no group to train on: no positive .*i2c\.positive_margin"):
        I2CReweighting(positive_margin=99.0).on_fit_start(Run(tmp_path, Data(2)), module)


def test_a_restored_round_is_read_back_instead_of_made_again(module, tmp_path):
    first = I2CReweighting()
    first.on_fit_start(Run(tmp_path, Data(3)), module)
    before = (tmp_path / "rounds/0/candidates-00000.jsonl").stat().st_mtime_ns
    data, resumed = Data(3), I2CReweighting()
    resumed.load_state_dict(first.state_dict())
    resumed.on_fit_start(Run(tmp_path, data), module)
    assert (tmp_path / "rounds/0/candidates-00000.jsonl").stat().st_mtime_ns == before
    assert data.handed[0][0] == 0
    assert len(data.handed[0][1]) == 12


def test_pooled_scores_choose_and_are_not_mixed_with_means(module, tmp_path):
    stored = {}
    for pooling in ("mean", "lowest_quarter"):
        I2CReweighting(pooling=pooling).on_fit_start(Run(tmp_path / pooling, Data(2)), module)
        stored[pooling] = [one.scores for one in RunStore(tmp_path / pooling).read_round(0).candidates if one.scores]
        manifest = json.loads((tmp_path / pooling / "rounds/0/manifest.json").read_text())
        assert manifest.get("pooling") == (None if pooling == "mean" else pooling)
    pairs = list(zip(stored["mean"], stored["lowest_quarter"], strict=True))
    # the lowest of some tokens is no higher than their mean, and of one token the same
    assert all(low.gap <= mean.gap + 1e-6 for mean, low in pairs)
    assert any(low.gap < mean.gap - 1e-3 for mean, low in pairs if mean.tokens > 1)
    assert all(low.mean_logp == mean.mean_logp for mean, low in pairs)
    with pytest.raises(ValueError, match="created with pooling='lowest_quarter', got pooling=None"):
        I2CReweighting().on_fit_start(Run(tmp_path / "lowest_quarter", Data(2)), module)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "median"}, "i2c.pooling must be one of mean, min_sentence, lowest_quarter"),
        ({"unit": "sentence", "reading": "vocabulary"}, "i2c.unit sentence needs the reading answer or gap"),
        ({"sentence_min": 0.1}, "i2c.sentence_min 0.1 needs the unit sentence, not answer"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        I2CReweighting(**options)


def test_no_round_is_made_for_a_model_that_cannot_be_trained(module, tmp_path, monkeypatch):
    def refuse():
        raise LVLMError("cannot be trained")

    monkeypatch.setattr(module.lvlm, "prepare_training", refuse)
    with pytest.raises(LVLMError, match="cannot be trained"):
        I2CReweighting().on_fit_start(Run(tmp_path, Data(2)), module)
    assert not (tmp_path / "rounds").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"i2c\.scorer: reference, unlike current, needs the starting model: .* set keep_reference"),
        ({"scorer": "current", "replay": 0.1}, r"i2c\.replay needs the starting model: .* set keep_reference"),
    ],
)
def test_no_round_is_made_where_the_starting_model_is_not_kept(options, message, tiny_checkpoint, tmp_path):
    lvlm = load_tiny(tiny_checkpoint, lora=None, keep_reference=False)
    module = C3LModule(
        lvlm, GenerationConfig("scenes", begin=BEGIN), LossConfig(contrastive_weight=0.0, token_weights="none")
    )
    with pytest.raises(ValueError, match=message):
        I2CReweighting(**options).on_fit_start(Run(tmp_path, Data(2)), module)
    assert not (tmp_path / "rounds").exists()


@pytest.mark.parametrize("loss", [{}, {"layer": 0.5, "pooling": "visual"}])
def test_no_round_is_made_where_the_model_lacks_what_the_loss_reads(loss, module, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "loss", LossConfig(form="representation", anchor="image", **loss))
    monkeypatch.setattr(FastPath, "image_token", -1)  # no position of its prompts is an image's
    with pytest.raises(LVLMError, match=r"loss\.anchor: .* no image tokens to pool: set another anchor"):
        I2CReweighting().on_fit_start(Run(tmp_path, Data(2)), module)
    assert not (tmp_path / "rounds").exists()


def test_the_prior_is_not_asked_where_nothing_is_contrasted(module, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "loss", LossConfig(contrastive_weight=0.0))
    without = made(module, tmp_path / "without", 2, negatives="blind")
    assert without.answers == ()
    assert "i2c.negatives: blind: the prior is not asked" in caplog.text
    assert "negatives" not in json.loads((tmp_path / "without/rounds/0/manifest.json").read_text())
    monkeypatch.undo()
    asked = made(module, tmp_path / "with", 2, negatives="blind").answers
    assert {one.candidate.origin for one in asked} == {"blind"}


def test_rounds_follow_epochs_and_none_follows_the_last(module, tmp_path):
    data, run, callback = Data(2), None, I2CReweighting(epochs_per_round=2)
    run = Run(tmp_path, data)
    callback.on_fit_start(run, module)
    for epoch in range(4):
        run.current_epoch = epoch
        callback.on_train_epoch_start(run, module)
        callback.on_train_epoch_end(run, module)
    assert [number for number, _, _ in data.handed] == [0, 1]
    assert RunStore(tmp_path).read_figures(1)["seconds"]["train"] >= 0


def test_groups_accumulate_and_weights_start_again(tiny_checkpoint, tmp_path):
    module = C3LModule(
        load_tiny(tiny_checkpoint), GenerationConfig("scenes", sampling=Sampling(2, 2, 1.0), begin=BEGIN)
    )
    data, callback = Data(2), I2CReweighting(accumulate=True, restart_adapter=True)
    run = Run(tmp_path, data)
    weights = [one for one in module.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=0.1)
    run.strategy, run.optimizers = None, [optimizer]
    start = [one.detach().clone() for one in weights]
    callback.on_fit_start(run, module)

    def train():
        for one in weights:
            one.grad = torch.ones_like(one)
        optimizer.step()

    train()
    callback.on_train_epoch_end(run, module)
    (_, first, _), (number, both, _) = data.handed
    assert number == 1
    assert all(torch.equal(one, before) for one, before in zip(weights, start, strict=True))
    assert not optimizer.state
    own = RunStore(tmp_path).read_round(1).groups
    assert list(both) == [*own, *first]
    # killed once the round was made, and resumed with what was trained and the optimizer's state
    train()
    resumed = I2CReweighting(accumulate=True, restart_adapter=True)
    resumed.load_state_dict({"round": 0, "wanted": 1})
    again = Run(tmp_path, Data(2))
    again.strategy, again.optimizers = None, [optimizer]
    monkey = pytest.MonkeyPatch()
    monkey.setattr(callbacks.i2c_reweighting, "_is_whole", lambda *_: True)
    resumed.on_fit_start(again, module)
    monkey.undo()
    assert list(again.datamodule.handed[0][1]) == [*own, *first]
    assert all(torch.equal(one, before) for one, before in zip(weights, start, strict=True))
    train()
    resumed.on_train_start(again, module)
    assert not optimizer.state
    # training on the same round goes on where it was
    train()
    goes_on = I2CReweighting(accumulate=True, restart_adapter=True)
    goes_on.load_state_dict({"round": 1, "wanted": 1})
    goes_on.on_fit_start(again, module)
    goes_on.on_train_start(again, module)
    assert optimizer.state
    (tmp_path / "start" / "state.json").unlink()
    with pytest.raises(ValueError, match=r"start: weights missing that i2c\.restart_adapter"):
        goes_on.on_fit_start(again, module)


def test_training_time_of_an_epoch_resumed_in_its_middle(module, tmp_path, monkeypatch):
    # the clock's zero is arbitrary: often when the machine started
    clock = [1e6]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    run, callback = Run(tmp_path, Data(2)), I2CReweighting()
    callback.on_fit_start(run, module)
    assert callback.state_dict()["trained"] == 0
    callback.on_train_start(run, module)
    callback.on_train_epoch_start(run, module)
    clock[0] += 20
    resumed = I2CReweighting()
    resumed.load_state_dict(callback.state_dict())
    clock[0] = 5
    resumed.on_fit_start(run, module)
    # Lightning calls no on_train_epoch_start here
    resumed.on_train_start(run, module)
    clock[0] += 3
    run.current_epoch = 3
    resumed.on_train_epoch_end(run, module)
    assert RunStore(tmp_path).read_figures(0)["seconds"]["train"] == 23
    # the next epoch begins at 0
    assert resumed.state_dict()["trained"] == 0


@pytest.mark.parametrize("per_image", [None, 1])
def test_a_round_made_in_parts_is_that_made_in_one(module, tmp_path, monkeypatch, per_image):
    """Texts, kinds, descriptions and scores; the control's partners are of the same part, and so are others."""
    monkeypatch.setattr(module, "writing", replace(module.writing, per_image=per_image))
    whole = made(module, tmp_path / "whole", 6)
    monkeypatch.setattr(module, "writing", replace(module.writing, batch_size=1, score_batch_size=1))
    parts = made(module, tmp_path / "parts", 6)
    assert [one.candidate for one in parts.candidates] == [one.candidate for one in whole.candidates]
    assert len(whole.candidates) == 6 * (per_image or 4) * 3
    assert len({one.candidate.instruction.kind for one in whole.candidates}) == 4
    assert parts.descriptions == whole.descriptions
    for one, other in zip(parts.candidates, whole.candidates, strict=True):
        assert (one.scores is None) == (other.scores is None)
        if one.scores is not None:
            assert one.scores.answer == pytest.approx(other.scores.answer, abs=1e-5)
            assert one.shuffled is not None
        assert one.status == other.status
    assert set(parts.figures["seconds"]) == {"generate", "score", "select", "wait", "engine"}


def test_a_round_opens_each_image_once_and_runs_it_through_the_tower_once(module, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "writing", replace(module.writing, batch_size=1, score_batch_size=2))
    opened, towered = Counter[str](), list[int]()
    read, features = SceneImages.read, module.lvlm.images.features

    def counted(source, key):
        opened[key] += 1
        return read(source, key)

    def watched(model, pixels):
        towered.append(len(pixels["pixel_values"]))
        return features(model, pixels)

    monkeypatch.setattr(SceneImages, "read", counted)
    monkeypatch.setattr(module.lvlm.images, "features", watched)
    made(module, tmp_path, 6)
    assert sorted(opened.values()) == [1] * 6
    assert sum(towered) == 1 + 6  # the loss is tried on an image first


def test_a_round_leaves_out_what_the_model_cannot_look_at(module, tmp_path, monkeypatch):
    keys = Data(4).source("images")[1]
    refusals, refused = type(module.lvlm).unsupported_images, SceneImages(4, seed=2).read(keys[1])

    def picky(lvlm, images):
        found = refusals(lvlm, images)
        return ["too narrow" if image == refused else known for image, known in zip(images, found, strict=True)]

    monkeypatch.setattr(type(module.lvlm), "unsupported_images", picky)
    with pytest.warns(UserWarning, match="is left out: too narrow"):
        stored = made(module, tmp_path, 4)
    assert {one.candidate.image for one in stored.candidates} == {*keys} - {keys[1]}
    assert set(stored.descriptions) == {*keys} - {keys[1]}


def test_a_part_in_which_nothing_can_be_looked_at_does_not_stop_the_round(module, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "writing", replace(module.writing, batch_size=2, score_batch_size=2))
    refusals, keys = type(module.lvlm).unsupported_images, Data(8).source("images")[1]
    first = [SceneImages(8, seed=2).read(key) for key in keys[:4]]

    def picky(lvlm, images):
        found = refusals(lvlm, images)
        return ["too narrow" if image in first else known for image, known in zip(images, found, strict=True)]

    monkeypatch.setattr(type(module.lvlm), "unsupported_images", picky)
    with pytest.warns(UserWarning, match="is left out: too narrow"):
        stored = made(module, tmp_path, 8)
    assert {one.candidate.image for one in stored.candidates} == {*keys[4:]}


def test_images_of_a_round_depend_on_seed_and_number_alone():
    keys = [str(number) for number in range(50)]
    callback = I2CReweighting(images_per_round=10)
    drawn = [callback._choose(keys, seed, number) for seed, number in ((0, 0), (0, 1), (1, 0))]
    assert callback._choose(keys, 0, 0) == drawn[0]
    assert len({tuple(one) for one in drawn}) == 3
    assert all(len(set(one)) == 10 for one in drawn)
    assert I2CReweighting()._choose(keys, 0, 0) == keys


@pytest.mark.parametrize(
    "options",
    [{"reading": "mean_logp"}, {"margin": -1.0}, {"cap": 0.5}, {"epochs_per_round": 0}, {"images_per_round": 0}],
)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match="i2c"):
        I2CReweighting(**options)
