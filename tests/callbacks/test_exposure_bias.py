import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

import callbacks.exposure_bias
from callbacks.exposure_bias import BEGINNING, ExposureBias, continue_all, measure
from callbacks.i2c_reweighting import I2CReweighting
from data_modules.scenes import SceneImages, SceneTruth
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.rounds.generation import GenerationConfig, ImageChunk
from lightning_c3l.rounds.run import engine_of
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.rounds.templates import load_templates
from tests.helpers.ranks import run_ranks
from tests.helpers.tiny import load_tiny

KINDS = {instruction.kind: instruction.text for instruction in load_templates("scenes")}


def tiny_module(checkpoint, begin: str = "Question: Where are the circles?\nAnswer:") -> C3LModule:
    writing = GenerationConfig("scenes", sampling=Sampling(2, 4, 1.0), begin=begin)
    return C3LModule(load_tiny(checkpoint), writing)


@pytest.fixture(scope="module")
def module(tiny_checkpoint) -> C3LModule:
    return tiny_module(tiny_checkpoint)


def plain_answer_nll(module: C3LModule, image, prompt: str, beginning: str, answer: str) -> float:
    """From one unpadded forward: minus the log-probabilities of the answer's own tokens."""
    processor, model = module.lvlm.processor, module.lvlm.model
    texts = [f"USER:<image> {prompt} ASSISTANT: {beginning}", f"USER:<image> {prompt} ASSISTANT: {beginning} {answer}"]
    short = processor(text=[texts[0]], images=[image], return_tensors="pt")["input_ids"].shape[1]
    inputs = processor(text=[texts[1]], images=[image], return_tensors="pt")
    with torch.no_grad():
        logp = model(**inputs).logits[0].log_softmax(-1)
    ids = inputs["input_ids"][0]
    return -sum(float(logp[place - 1, ids[place]]) for place in range(short, len(ids)))


def test_nll_is_that_of_the_answer_given_the_beginning(module):
    source, truth = SceneImages(3, seed=9), SceneTruth()
    asked = truth.questions(list(source.keys()))
    found = continue_all(engine_of(module), asked, KINDS, source.read, truth)
    assert [one.asked for one in found] == asked
    for one in found:
        beginning = BEGINNING.format(question=one.asked.question)
        expected = plain_answer_nll(
            module, source.read(one.asked.image), KINDS[one.asked.kind], beginning, one.asked.answer
        )
        assert one.nll == pytest.approx(expected, abs=2e-3)


def test_own_beginnings_without_an_answer_are_not_right(module):
    """Every text asks for circles; where there are none, nothing that follows can be true."""
    source, truth = SceneImages(12, follow=0.0, seed=4), SceneTruth()
    keys = list(source.keys())
    without = [key for key in keys if truth.resolve(key, "Where are the circles?") is None]
    assert without
    figures = measure(engine_of(module), ImageChunk(without, source.read), truth)
    assert figures["truth, own"] == 0.0
    assert figures["nll, own"] is None
    assert figures["nll, reference"] is not None


def test_hidden_attributes_count_as_unseen():
    source, truth = SceneImages(40, follow=0.0, seed=6), SceneTruth()
    asked = truth.questions(list(source.keys()))
    hidden = truth.questions(list(SceneImages(40, follow=0.0, seed=6, hide=True).keys()))
    assert {one.seen for one in asked} == {True, False}
    assert {one.seen for one in hidden} == {True}
    assert all(one.seen for one in asked if one.kind == "presence")


def measure_scenes(checkpoint: str, count: int) -> dict[str, float | None]:
    source = SceneImages(count, follow=0.0, seed=9)
    module = tiny_module(checkpoint, "Question: Are there circles?\nAnswer:")
    return measure(engine_of(module), ImageChunk(list(source.keys()), source.read), SceneTruth())


def measure_on_ranks(rank: int, argument: str) -> None:
    checkpoint, folder = argument.split("|")
    (Path(folder) / f"{rank}.json").write_text(json.dumps([measure_scenes(checkpoint, count) for count in COUNTS]))


# one image leaves the second process nothing to write, but beginnings to continue
COUNTS = (1, 5)


def test_two_processes_find_what_one_finds(tiny_checkpoint, tmp_path):
    run_ranks(measure_on_ranks, f"{tiny_checkpoint}|{tmp_path}")
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    for count, shared in zip(COUNTS, first, strict=True):
        alone = measure_scenes(str(tiny_checkpoint), count)
        assert alone["nll, own"] is not None
        assert alone == {key: value and pytest.approx(value, rel=1e-5) for key, value in shared.items()}


class Run:
    global_step, rejected, longest_side, round = 3, (), None, 1

    def __init__(self, folder, source) -> None:
        self.default_root_dir, self.datamodule, self.source_, self.truth = str(folder), self, source, SceneTruth()

    def source(self, name: str):
        return self.source_, list(self.source_.keys())

    def digests(self, name: str) -> dict[str, str]:
        return dict.fromkeys(self.source(name)[1], "")

    def set_round(self, number, groups, descriptions) -> None:
        raise AssertionError("nobody makes a round here")


def test_a_resumed_run_measures_only_what_is_not_there(module, tmp_path, monkeypatch):
    asked, run, store = [], Run(tmp_path, SceneImages(2, seed=9)), RunStore(tmp_path)
    monkeypatch.setattr(
        callbacks.exposure_bias, "measure", lambda *_: asked.append(1) or {"nll, own": float(len(asked))}
    )
    ExposureBias().on_fit_end(run, module)
    whole = store.summary()["exposure_bias"]
    assert whole == {"starting model": {"nll, own": 1.0}, "tuned, lambda 0.3": {"nll, own": 2.0}}
    ExposureBias().on_fit_end(run, module)
    assert len(asked) == 2
    # killed between the two
    store.update_summary(exposure_bias={"starting model": whole["starting model"]})
    ExposureBias().on_fit_end(run, module)
    assert store.summary()["exposure_bias"] == {**whole, "tuned, lambda 0.3": {"nll, own": 3.0}}


@pytest.mark.parametrize(
    ("has_control", "loss", "options"),
    [
        (True, {}, {}),
        (False, {"contrastive_weight": 0.0}, {}),
        # nothing would be left to train
        (False, {"nll_weight": 0.0}, {}),
        (False, {}, {"restart_adapter": True}),
    ],
)
def test_runs_that_have_a_control(has_control, loss, options):
    trainer = SimpleNamespace(global_step=1, callbacks=[I2CReweighting(**options)], strategy=SingleDeviceStrategy())
    assert ExposureBias(control=True)._has_control(trainer, LossConfig(**loss)) == has_control
    assert not ExposureBias(control=False)._has_control(trainer, LossConfig(**loss))
