"""What is trained on, and its gradients, against one plain forward a sequence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.batches import GroupBatch
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.forward import PromptRows
from lightning_c3l.lvlm.huggingface.images import grid_of
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.records import Conversation, Turn
from tests.helpers.families import Family
from tests.helpers.families.native import Native, messages
from tests.helpers.families.samples import CHAT, CLOSE, CLOSED, group_samples
from tests.helpers.tiny import decoder_of, load_tiny


def prefixes_of(lvlm: HuggingFaceLVLM, batch: GroupBatch) -> PromptRows:
    pixels = {k: v for k, v in batch.prefixes.items() if k not in ("input_ids", "attention_mask")}
    ids, mask = batch.prefixes["input_ids"], batch.prefixes["attention_mask"]
    return PromptRows(ids, mask, decoder_of(lvlm).features(pixels), grid_of(pixels))


@torch.no_grad()
def test_the_joined_pass_is_the_cached_pass(lvlm: HuggingFaceLVLM, images: list[Image]) -> None:
    batch = lvlm.encode_groups(group_samples(images), "description", "image")
    prefixes = prefixes_of(lvlm, batch)
    cached, joined = (decoder_of(lvlm).run_shared(prefixes, batch.suffixes, joined=joined) for joined in (False, True))
    for mask, one, other in zip((prefixes.mask, batch.suffixes.mask), cached, joined, strict=True):
        torch.testing.assert_close(one[mask], other[mask], **CLOSE)


@torch.no_grad()
def test_groups_are_those_of_plain_forwards(lvlm: HuggingFaceLVLM, native: Native, images: list[Image]) -> None:
    states = lvlm.group_states(lvlm.encode_groups(group_samples(images), "prompt", "image"), "prompt", "image")
    numbers = list(zip(states.owner.tolist(), states.role.tolist(), strict=True))
    assert sorted(numbers) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    for group, sample in enumerate(group_samples(images)):
        write = native.answer(sample.instruction, sample.texts[0], sample.image)
        answer = native.answer(sample.question, sample.answer, sample.image)
        found = states.positive_logp[group][states.positive_mask[group]]
        torch.testing.assert_close(found, write.logp(closed=True), **CLOSE)
        found = states.answer_logp[group][states.answer_mask[group]]
        torch.testing.assert_close(found, answer.logp(closed=True), **CLOSE)
        found = states.anchor[group][states.anchor_mask[group]]
        torch.testing.assert_close(found, write.hidden[: write.answers[0].start], **CLOSE)
    for row, (group, k) in enumerate(numbers):
        sample = group_samples(images)[group]
        text = native.answer(sample.instruction, sample.texts[k], sample.image)
        found = states.candidates[row][states.candidate_mask[row]]
        torch.testing.assert_close(found, text.hidden_of(), **CLOSE)


def gradients(lvlm: HuggingFaceLVLM, objective: Tensor) -> dict[str, Tensor]:
    lvlm.network.zero_grad()
    objective.backward()  # type: ignore[no-untyped-call]
    return {n: p.grad.clone() for n, p in lvlm.network.named_parameters() if p.grad is not None}


def likelihood(lvlm: HuggingFaceLVLM, images: Sequence[Image]) -> Tensor:
    states = lvlm.group_states(lvlm.encode_groups(group_samples(images), "prompt", "image"), "prompt", "image")
    return states.positive_logp.sum() + states.answer_logp.sum()


@pytest.mark.parametrize("vision", [False, True], ids=["decoder", "vision"])
def test_gradients_are_those_of_plain_forwards(
    checkpoint: Path, family: Family, images: list[Image], vision: bool
) -> None:
    """With a cache, and in one pass as gradient checkpointing needs it."""
    lora = LoRA(rank=2, alpha=4, vision=vision)
    lvlm, frugal = load_tiny(checkpoint, lora), load_tiny(checkpoint, lora, gradient_checkpointing=True)
    frugal.network.train()
    assert decoder_of(frugal).checkpointing
    native = Native(family, lvlm.processor, lvlm.model)
    plain = torch.zeros(())
    for sample in group_samples(images):
        plain = plain + native.answer(sample.instruction, sample.texts[0], sample.image).logp(closed=True).sum()
        plain = plain + native.answer(sample.question, sample.answer, sample.image).logp(closed=True).sum()
    expected = gradients(lvlm, plain)
    cached, joined = (gradients(one, likelihood(one, images)) for one in (lvlm, frugal))
    assert expected.keys() == cached.keys() == joined.keys()
    assert any(family.tower in key for key in expected) == vision
    for key, gradient in expected.items():
        assert float(gradient.norm()) > 0, key
        for found in (cached[key], joined[key]):
            assert float((found - gradient).norm() / gradient.norm()) < 1e-4, key


@torch.no_grad()
def test_records_are_those_of_plain_forwards(lvlm: HuggingFaceLVLM, native: Native, images: list[Image]) -> None:
    """Rows with and without image, of one turn and several, in one batch."""
    chats: list[Any] = [(CHAT[:2], images[1]), (CLOSED, None), (CLOSED, images[2]), (CHAT[:2], None)]
    records = [
        (Conversation(str(number), None, tuple(Turn(role, text) for role, text in chat)), image)
        for number, (chat, image) in enumerate(chats)
    ]
    batch = lvlm.encode_conversations(records)
    found = lvlm.conversation_logp(batch)
    for row, (chat, image) in enumerate(chats):
        inputs = native.inputs(messages(chat, image))
        ids, target = inputs["input_ids"][0], batch.target[row, : inputs["input_ids"].shape[1]]
        assert batch.ids[row][batch.mask[row]].tolist() == ids.tolist()
        table = native.model(**inputs).logits[0, :-1].log_softmax(-1)
        expected = table.gather(1, ids[1:, None])[:, 0][target[1:]]
        torch.testing.assert_close(found[row][batch.target[row]], expected, **CLOSE)


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
def test_a_step_changes_adapters_and_head_alone(checkpoint: Path, images: list[Image]) -> None:
    loss = LossConfig(form="representation")
    module = C3LModule(load_tiny(checkpoint), loss=loss, optimization=OptimizerConfig(learning_rate=1e-2))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    configured: Any = module.optimization.configure(module.parameters(), lambda: 10)
    module.training_step(module.encode(group_samples(images)), 0).backward()  # type: ignore[no-untyped-call]
    configured["optimizer"].step()
    changed = {key for key, value in module.state_dict().items() if not torch.equal(value, before[key])}
    adapters = {key for key in before if ".lora_" in key}
    assert len(adapters) == 2 * 2 * 7  # A and B of seven linear layers in each of two decoder layers
    assert changed == adapters | {"contrastive.projection.weight", "contrastive.projection.bias"}
