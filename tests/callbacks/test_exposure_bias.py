import pytest
import torch

from callbacks.exposure_bias import BEGINNING, continue_all, measure
from data_modules.scenes import SceneImages, SceneTruth
from lightning_c3l.generation import Writing
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.module import C3LModule
from lightning_c3l.prompts import load_templates
from tests.tiny import load_tiny

KINDS = {instruction.kind: instruction.text for instruction in load_templates("scenes")}


@pytest.fixture(scope="module")
def module(tiny_checkpoint) -> C3LModule:
    writing = Writing("scenes", sampling=Sampling(2, 4, 1.0), begin="Question: Where are the circles?\nAnswer:")
    return C3LModule(load_tiny(tiny_checkpoint), writing)


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
    found = continue_all(module, asked, KINDS, source.read, truth)
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
    figures = measure(module, without, source.read, truth)
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
