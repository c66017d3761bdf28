"""Instruction-tuning batches against transformers' own loss on each conversation alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL.Image import Image

from data_modules.loading.decoding import UnreadableImage
from data_modules.loading.usable_batches import UsableBatches
from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.batches import ConversationBatch
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.modules.instruction_tuning import InstructionTuningModule
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.records import Conversation, Role, Turn
from tests.helpers.tiny import load_tiny, model_inputs, pictures

CHATS: list[list[tuple[Role, str]]] = [
    [("user", "What color are the rings?"), ("assistant", "red")],
    [("user", "Where?"), ("assistant", "top left"), ("user", "How many?"), ("assistant", "there are three of them")],
    [("user", "Describe the picture."), ("assistant", "two red rings top left.")],
]


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


@pytest.fixture(scope="module")
def samples() -> list[tuple[Conversation, Image | None]]:
    one, two = pictures(2)
    images = [one, None, two]
    return [
        (Conversation(str(n), None, tuple(Turn(role, text) for role, text in chat)), image)
        for n, (chat, image) in enumerate(zip(CHATS, images, strict=True))
    ]


def labels_by_hand(lvlm: HuggingFaceLVLM, chat: list[tuple[Role, str]], ids: torch.Tensor) -> torch.Tensor:
    """-100 but on each answer and its </s>: an answer runs from after "ASSISTANT:" (and its blank) to </s>."""
    tokenizer = lvlm.processor.tokenizer
    labels, stop = torch.full_like(ids, -100), 0
    for answer in (text for role, text in chat if role == "assistant"):
        stop = ids.tolist().index(tokenizer.eos_token_id, stop) + 1
        start = max(n for n in range(stop - 1) if tokenizer.decode(ids[n : stop - 1]).strip() == answer)
        labels[start:stop] = ids[start:stop]
    return labels


def test_loss_is_that_of_transformers(lvlm: HuggingFaceLVLM, samples: list[tuple[Conversation, Image | None]]) -> None:
    total, count = 0.0, 0
    for chat, (_, image) in zip(CHATS, samples, strict=True):
        inputs = model_inputs(lvlm.processor, chat, image)
        labels = labels_by_hand(lvlm, chat, inputs["input_ids"][0])
        number = int((labels >= 0).sum())
        total += float(lvlm.model(**inputs, labels=labels[None]).loss) * number
        count += number
    module = InstructionTuningModule(lvlm)
    lvlm.network.eval()
    assert float(module.training_step(module.encode(samples), 0)) == pytest.approx(total / count, rel=1e-4)


def test_a_record_counts_by_its_weight(lvlm: HuggingFaceLVLM, samples: list[tuple[Conversation, Image | None]]) -> None:
    module = InstructionTuningModule(lvlm)
    lvlm.network.eval()
    batches = [lvlm.encode_conversations([one]) for one in samples]
    sums = [float(module.training_step(one, 0)) * int(one.target.sum()) for one in batches]
    weighted = [
        (replace(one, weight=weight), image) for (one, image), weight in zip(samples, (0.0, 2.5, 0.5), strict=True)
    ]
    expected = (2.5 * sums[1] + 0.5 * sums[2]) / sum(int(one.target.sum()) for one in batches)
    assert float(module.training_step(module.encode(weighted), 0)) == pytest.approx(expected, rel=1e-4)


def test_rows_do_not_feel_each_other(lvlm: HuggingFaceLVLM, samples: list[tuple[Conversation, Image | None]]) -> None:
    lvlm.network.eval()
    whole = lvlm.encode_conversations(samples)
    logp = lvlm.conversation_logp(whole)
    for number, sample in enumerate(samples):
        alone = lvlm.encode_conversations([sample])
        found = lvlm.conversation_logp(alone)[0][alone.target[0]]
        torch.testing.assert_close(found, logp[number][whole.target[number]], atol=1e-4, rtol=1e-4)


def test_text_alone_needs_no_pixels(lvlm: HuggingFaceLVLM, samples: list[tuple[Conversation, Image | None]]) -> None:
    assert lvlm.encode_conversations(samples[1:2]).pixels == {}
    assert lvlm.encode_conversations(samples).pixels["pixel_values"].shape[0] == 2


@pytest.mark.parametrize("answer", ["", " ", "</s>"])
def test_a_record_with_nothing_to_learn_is_named(lvlm: HuggingFaceLVLM, answer: str) -> None:
    empty = Conversation("record-7", None, (Turn("user", "What?"), Turn("assistant", answer)))
    with pytest.raises(LVLMError, match="record record-7: no supervised token"):
        lvlm.encode_conversations([(empty, None)])


class Listed(list[tuple[Conversation, Image | None]]):
    """Records with names."""

    def name(self, number: int) -> str:
        return f"record {number + 1}"


def test_what_cannot_be_used_counts_no_token(
    tiny_checkpoint: Path, samples: list[tuple[Conversation, Image | None]], tmp_path: Path
) -> None:
    module = InstructionTuningModule(load_tiny(tiny_checkpoint))
    module.lvlm.network.eval()
    long = Conversation("long-1", None, (Turn("user", "What? " * 999), Turn("assistant", "This.")))
    records = Listed([samples[0], (long, None), samples[2]])
    collate = UsableBatches(records, module.encode, tmp_path / "rejected.jsonl")

    def gradients(batch: ConversationBatch) -> dict[str, torch.Tensor]:
        module.zero_grad(set_to_none=True)
        module.training_step(batch, 0).backward()  # type: ignore[no-untyped-call]
        return {name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None}

    with pytest.warns(UserWarning, match=r"record 2: record long-1: a conversation of .* left out, listed in"):
        batch = collate([(0, samples[0]), (1, (long, None)), (2, UnreadableImage("damaged"))])
    expected = gradients(module.encode(samples[:1]))
    torch.testing.assert_close(gradients(batch), expected, atol=0.0, rtol=0.0)
    # a batch with nothing else has no target, and a gradient of zero for all that is trained: DDP waits for all
    batch = collate([(1, (long, None))])
    assert int(batch.target.sum()) == 0
    nothing = gradients(batch)
    assert set(nothing) == set(expected)
    assert not any(one.any() for one in nothing.values())
    listed = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert [one["key"] for one in listed] == ["record 3", "record 2"]
    assert listed[0]["reason"] == "damaged"


def test_frozen_weights_keep_their_values(
    tiny_checkpoint: Path, samples: list[tuple[Conversation, Image | None]]
) -> None:
    module = InstructionTuningModule(load_tiny(tiny_checkpoint, None), OptimizerConfig(0.1), frozen=["vision_tower"])
    before = {name: value.clone() for name, value in module.named_parameters()}
    configured: Any = module.optimization.configure(module.parameters(), lambda: 10)
    module.training_step(module.encode(samples), 0).backward()  # type: ignore[no-untyped-call]
    configured["optimizer"].step()
    kept = {name for name, value in module.named_parameters() if torch.equal(value, before[name])}
    tower = {name for name in before if "vision_tower" in name}
    assert len(tower) > 10
    assert tower <= kept
    assert not any("language_model.layers" in name or "projector" in name for name in kept)
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    assert tower.isdisjoint(checkpoint["state_dict"])


def test_a_word_in_no_weights_name_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="frozen: no weight's name holds 'tower of vision'"):
        InstructionTuningModule(load_tiny(tiny_checkpoint, None), frozen=["tower of vision"])
