"""The shared forward over groups against one plain forward a sequence, values and gradients."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoProcessor

from lightning_c3l.lvlm.base import DESCRIBE, GroupSample, GroupStates, LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.groups import RowList, split_prefixes
from lightning_c3l.lvlm.huggingface.images import ImageTokens
from lightning_c3l.records import Turn
from tests.helpers.tiny import IMAGE, encoder_of, load_tiny, model_inputs, pictures, plain

ANCHORS, CONTEXTS = ("prompt", "instruction", "description"), ("image", "text")
OPTIONS = list(product(ANCHORS, CONTEXTS))
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def samples() -> list[GroupSample]:
    one, other = pictures(2)
    texts = ("Question: What color are the rings?\nAnswer: red", "Question: Where?\nAnswer: top left", "rings")
    return [
        GroupSample(one, "Write a color question.", texts, "What color are the rings?", "red", "two red rings"),
        GroupSample(other, "Write a number question with its answer.", ("Q: How many?",), "How many?", "four", "none."),
    ]


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


def states_of(lvlm: HuggingFaceLVLM, anchor: Any, context: Any) -> GroupStates:
    return lvlm.group_states(lvlm.encode_groups(samples(), anchor, context), anchor, context)


def anchor_states(lvlm: HuggingFaceLVLM, sample: GroupSample, anchor: str) -> Tensor:
    """Hidden states that the anchor is read from, from one plain forward."""
    if anchor == "description":
        alone = plain(lvlm, DESCRIBE, sample.description, sample.image)
        return alone.hidden[alone.start : alone.end]
    if anchor == "prompt":
        alone = plain(lvlm, sample.instruction, sample.texts[0], sample.image)
        return alone.hidden[: alone.start]
    inputs = model_inputs(lvlm.processor, [("user", sample.instruction)], None)
    return lvlm.model(**inputs, output_hidden_states=True).hidden_states[-1][0]  # type: ignore[no-any-return]


def text_states(lvlm: HuggingFaceLVLM, sample: GroupSample, k: int, context: str) -> Tensor:
    alone = plain(lvlm, sample.instruction, sample.texts[k], sample.image if context == "image" else None)
    return alone.hidden[alone.start : alone.end]


@pytest.mark.parametrize(("anchor", "context"), OPTIONS)
def test_states_are_those_of_plain_forwards(lvlm: HuggingFaceLVLM, anchor: str, context: str) -> None:
    states = states_of(lvlm, anchor, context)
    for group, sample in enumerate(samples()):
        found = states.anchor[group][states.anchor_mask[group]]
        torch.testing.assert_close(found, anchor_states(lvlm, sample, anchor), **CLOSE)
    numbers = list(zip(states.owner.tolist(), states.role.tolist(), strict=True))
    assert sorted(numbers) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    for row, (group, k) in enumerate(numbers):
        found = states.candidates[row][states.candidate_mask[row]]
        torch.testing.assert_close(found, text_states(lvlm, samples()[group], k, context), **CLOSE)


@pytest.mark.parametrize(("anchor", "context"), OPTIONS)
def test_likelihoods_are_those_of_plain_forwards(lvlm: HuggingFaceLVLM, anchor: str, context: str) -> None:
    states = states_of(lvlm, anchor, context)
    for group, sample in enumerate(samples()):
        write = plain(lvlm, sample.instruction, sample.texts[0], sample.image)
        answer = plain(lvlm, sample.question, sample.answer, sample.image)
        found = states.positive_logp[group][states.positive_mask[group]]
        torch.testing.assert_close(found, write.logp(closed=True), **CLOSE)
        found = states.answer_logp[group][states.answer_mask[group]]
        torch.testing.assert_close(found, answer.logp(closed=True), **CLOSE)


def test_likelihood_is_the_loss_of_transformers(lvlm: HuggingFaceLVLM) -> None:
    states = states_of(lvlm, "prompt", "image")
    for group, sample in enumerate(samples()):
        mask = states.positive_mask[group]
        expected = plain(lvlm, sample.instruction, sample.texts[0], sample.image).loss
        torch.testing.assert_close(-states.positive_logp[group][mask].mean(), expected, **CLOSE)
        mask = states.answer_mask[group]
        expected = plain(lvlm, sample.question, sample.answer, sample.image).loss
        torch.testing.assert_close(-states.answer_logp[group][mask].mean(), expected, **CLOSE)


def gradients(lvlm: HuggingFaceLVLM, loss: Tensor) -> dict[str, Tensor]:
    lvlm.network.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return {n: p.grad.clone() for n, p in lvlm.network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("anchor", "context"), OPTIONS)
def test_gradients_are_those_of_the_unshared_computation(lvlm: HuggingFaceLVLM, anchor: str, context: str) -> None:
    direction = torch.linspace(-1, 1, lvlm.hidden_size)
    states = states_of(lvlm, anchor, context)
    shared = -states.positive_logp.sum() - states.answer_logp.sum()
    shared = shared + sum(h[m].mean(0) @ direction for h, m in zip(states.anchor, states.anchor_mask, strict=True))
    rows = zip(states.candidates, states.candidate_mask, strict=True)
    shared = shared + sum((h[m].mean(0) ** 2) @ direction for h, m in rows)
    alone = torch.zeros(())
    for sample in samples():
        alone = alone - plain(lvlm, sample.instruction, sample.texts[0], sample.image).logp(closed=True).sum()
        alone = alone - plain(lvlm, sample.question, sample.answer, sample.image).logp(closed=True).sum()
        alone = alone + anchor_states(lvlm, sample, anchor).mean(0) @ direction
        for k in range(len(sample.texts)):
            alone = alone + (text_states(lvlm, sample, k, context).mean(0) ** 2) @ direction
    torch.testing.assert_close(shared, alone, **CLOSE)
    found, expected = gradients(lvlm, shared), gradients(lvlm, alone)
    assert found.keys() == expected.keys()
    assert len(found) == 2 * 2 * 7  # A and B of seven linear layers in each of two decoder layers
    for name, gradient in expected.items():
        assert float(gradient.norm()) > 0
        assert float((found[name] - gradient).norm() / gradient.norm()) < 1e-4, name


@pytest.mark.parametrize("anchor", ANCHORS)
def test_gradient_checkpointing_changes_nothing_but_the_work(
    lvlm: HuggingFaceLVLM, tiny_checkpoint: Path, anchor: Any
) -> None:
    """It rules out a cache: prefixes and suffixes run in one pass under a mask, and each layer again backwards."""
    batch = lvlm.encode_groups(samples(), anchor, "image")
    other = load_tiny(tiny_checkpoint, gradient_checkpointing=True)
    other.network.train()
    other.prepare_training()
    runs = list[object]()
    other.model.get_decoder().layers[0].self_attn.register_forward_pre_hook(lambda *_: runs.append(None))

    def run(which: HuggingFaceLVLM) -> tuple[list[Tensor], dict[str, Tensor]]:
        states = which.group_states(batch, anchor, "image")
        parts = [states.positive_logp, states.answer_logp]
        parts += [states.anchor[states.anchor_mask], states.candidates[states.candidate_mask]]
        return parts, gradients(which, sum(part.square().sum() for part in parts))  # type: ignore[arg-type]

    states, expected = run(lvlm)
    again, found = run(other)
    # one pass over groups, one more over what stands without image; both again in the backward pass
    assert len(runs) == 2 + (batch.without_image is not None) * 2
    for one, two in zip(again, states, strict=True):
        torch.testing.assert_close(one, two, **CLOSE)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert float((found[name] - gradient).norm() / gradient.norm()) < 1e-4, name


def test_image_tokens_that_are_ordinary_ones_too(tiny_checkpoint: Path) -> None:
    """Gemma 3 and SmolVLM put line ends around an image; the same tokens come again in the texts."""
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    encoder, rows = encoder_of(processor), RowList()
    image = ImageTokens("\n<image>\n", (9,))
    for k, text in enumerate(("one\ntwo", "three\n\nfour")):
        rows.add(encoder.encode((Turn("user", "Write\ntwo lines."), Turn("assistant", text)), image), 0, k)
    ids, mask, suffixes = split_prefixes(encoder, rows, 1)
    assert int((ids[mask] == processor.image_token_id).sum()) == 9
    assert not bool((suffixes.ids == processor.image_token_id).any())
    assert [processor.decode(row[mask]).strip() for row, mask in zip(suffixes.ids, suffixes.text, strict=True)] == [
        "one\ntwo",
        "three\n\nfour",
    ]


def test_text_that_differs_before_the_image_is_refused(tiny_checkpoint: Path) -> None:
    encoder, rows = encoder_of(AutoProcessor.from_pretrained(tiny_checkpoint)), RowList()
    for k, system in enumerate(("Be brief.", "Ramble.")):
        turns = (Turn("system", system), Turn("user", "Where?"), Turn("assistant", "here"))
        rows.add(encoder.encode(turns, IMAGE), 0, k)
    with pytest.raises(LVLMError, match="text before the image that differs"):
        split_prefixes(encoder, rows, 1)


def test_trunks_and_suffixes_together_are_the_rows(tiny_checkpoint: Path) -> None:
    """Each row is its prefix and what is left of it, however the rows of several owners are mixed."""
    encoder, rows = encoder_of(AutoProcessor.from_pretrained(tiny_checkpoint)), RowList()
    said = [(0, "Where?", "here"), (1, "Describe the picture.", "red rings"), (0, "Where?", "there"), (1, "Q", "a")]
    for k, (owner, question, answer) in enumerate(said):
        turns = (Turn("user", question), Turn("assistant", answer))
        rows.add(encoder.encode(turns, IMAGE if owner else None), owner, k, target=k == 1)
    ids, mask, suffixes = split_prefixes(encoder, rows, 2)
    assert suffixes.owner.tolist() == [0, 1, 0, 1]
    assert suffixes.role.tolist() == [0, 1, 2, 3]
    for k, chat in enumerate(rows.chats):
        prefixes = ids[suffixes.owner[k]][mask[suffixes.owner[k]]].tolist()
        assert (*prefixes, *suffixes.ids[k][suffixes.mask[k]].tolist()) == chat.ids
        # at least one token of the prompt is left to predict the text's first
        assert not bool(suffixes.text[k, 0])
        assert int(suffixes.text[k].sum()) == sum(chat.answer)
        assert int(suffixes.target[k].sum()) == (sum(chat.target) if k == 1 else 0)


def test_a_group_does_not_feel_its_neighbour(lvlm: HuggingFaceLVLM) -> None:
    whole = states_of(lvlm, "prompt", "image")
    alone = lvlm.group_states(lvlm.encode_groups(samples()[1:], "prompt", "image"), "prompt", "image")
    torch.testing.assert_close(
        alone.positive_logp[0][alone.positive_mask[0]], whole.positive_logp[1][whole.positive_mask[1]], **CLOSE
    )


def test_weights_come_along(lvlm: HuggingFaceLVLM) -> None:
    weighted = [replace(sample, weight=w) for sample, w in zip(samples(), (0.5, 2.0), strict=True)]
    assert lvlm.encode_groups(weighted, "prompt", "image").weights.tolist() == [0.5, 2.0]


@pytest.mark.parametrize("change", [{"answer": "</s>"}, {"answer": " "}, {"texts": ("<image>",)}])
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_text_without_tokens_is_refused(lvlm: HuggingFaceLVLM, change: dict[str, Any], context: Any) -> None:
    wrong = [samples()[0], replace(samples()[1], **change)]
    with pytest.raises(LVLMError, match="no supervised token"):
        lvlm.encode_groups(wrong, "prompt", context)


def test_rows_hold_targets_for_likelihood_only(lvlm: HuggingFaceLVLM) -> None:
    suffixes = lvlm.encode_groups(samples(), "description", "image").suffixes
    supervised = suffixes.target.any(dim=1)
    # by role: the positive's text (0) and its answer (-1) are learnt; negatives and the anchor are read
    assert {int(r) for r in suffixes.role[supervised]} == {0, -1}
    assert {int(r) for r in suffixes.role[~supervised]} == {1, 2, -2}
    assert not bool((suffixes.target & ~suffixes.mask).any())


def test_negatives_run_once(lvlm: HuggingFaceLVLM) -> None:
    """In the context of the text alone, only what is learnt is read with the image."""
    batch = lvlm.encode_groups(samples(), "prompt", "text")
    assert sorted(batch.suffixes.role.tolist()) == [-1, -1, 0, 0]
    assert batch.without_image is not None
    assert sorted(batch.without_image.role.tolist()) == [0, 0, 1, 2]


def test_a_missing_description_is_no_crash(lvlm: HuggingFaceLVLM) -> None:
    bare = [replace(sample, description="") for sample in samples()]
    states = lvlm.group_states(lvlm.encode_groups(bare, "description", "image"), "description", "image")
    assert bool(states.anchor_mask.any(dim=1).all())


def test_states_of_another_option_are_refused(lvlm: HuggingFaceLVLM) -> None:
    batch = lvlm.encode_groups(samples(), "prompt", "image")
    with pytest.raises(LVLMError, match="another anchor"):
        lvlm.group_states(batch, "instruction", "image")
