"""Batched sampling: what it must not depend on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_c3l.lvlm.base import GenerationRequest, LVLMError, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.forward import Decoder
from lightning_c3l.lvlm.huggingface.generation import Generator
from tests.helpers.tiny import decoder_of, generate_texts, load_tiny, model_inputs, pictures

PROMPTS = ["Describe the picture.", "Write a color question with its answer.", "Where?"]
GREEDY = Sampling(samples=1, max_new_tokens=12, temperature=0.0)


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


def likeliest(lvlm: HuggingFaceLVLM, inputs: Any, steps: int) -> list[int]:
    """Likeliest token after likeliest token up to </s>, each from a whole forward."""
    ids, written = inputs["input_ids"], list[int]()
    for _ in range(steps):
        with torch.no_grad():
            logits = lvlm.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits
        written.append(int(logits[0, -1].argmax()))
        if written[-1] == lvlm.processor.tokenizer.eos_token_id:
            break
        ids = torch.cat([ids, torch.tensor([[written[-1]]])], dim=1)
    return written


def by_hand(lvlm: HuggingFaceLVLM, prompt: str, image: Any, steps: int) -> list[int]:
    return likeliest(lvlm, model_inputs(lvlm.processor, [("user", prompt)], image), steps)


def test_batched_greedy_is_the_hand_written_loop(lvlm: HuggingFaceLVLM) -> None:
    images = pictures(3)
    batched = generate_texts(lvlm, images, PROMPTS, GREEDY, seed=0)
    assert len({text for (text,) in batched}) == 3
    for prompt, image, written in zip(PROMPTS, images, batched, strict=True):
        expected = lvlm.processor.tokenizer.decode(by_hand(lvlm, prompt, image, 12), skip_special_tokens=True)
        assert written == [expected.strip()]


@pytest.mark.parametrize("own", [{"repetition_penalty": 5.0}, {"num_beams": 3}, {"no_repeat_ngram_size": 1}])
def test_the_checkpoints_own_generation_options_do_not_mix_in(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, own: dict[str, Any]
) -> None:
    plain = generate_texts(lvlm, pictures(2), PROMPTS[:2], GREEDY, seed=0)
    for name, value in own.items():
        monkeypatch.setattr(lvlm.model.generation_config, name, value)
    assert generate_texts(lvlm, pictures(2), PROMPTS[:2], GREEDY, seed=0) == plain


def test_the_image_is_looked_at(lvlm: HuggingFaceLVLM) -> None:
    texts = generate_texts(lvlm, pictures(4), [PROMPTS[0]] * 4, GREEDY, seed=0)
    assert len({text for (text,) in texts}) > 1


def test_same_seed_same_texts(lvlm: HuggingFaceLVLM) -> None:
    drawn = Sampling(samples=3, max_new_tokens=8, temperature=1.0)
    first = generate_texts(lvlm, pictures(2), PROMPTS[:2], drawn, seed=3)
    torch.rand(5)
    assert generate_texts(lvlm, pictures(2), PROMPTS[:2], drawn, seed=3) == first
    assert generate_texts(lvlm, pictures(2), PROMPTS[:2], drawn, seed=4) != first
    assert [len(texts) for texts in first] == [3, 3]
    assert all(len(set(texts)) > 1 for texts in first)


def test_global_random_state_stays(lvlm: HuggingFaceLVLM) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    generate_texts(lvlm, pictures(1), PROMPTS[:1], Sampling(2, 4), seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_top_p_so_small_is_greedy(lvlm: HuggingFaceLVLM) -> None:
    narrow = Sampling(samples=2, max_new_tokens=12, temperature=1.0, top_p=1e-6)
    (greedy,) = generate_texts(lvlm, pictures(1), PROMPTS[:1], GREEDY, seed=0)
    assert generate_texts(lvlm, pictures(1), PROMPTS[:1], narrow, seed=0) == [greedy * 2]


def test_every_token_can_be_drawn(lvlm: HuggingFaceLVLM) -> None:
    """Hot enough, all 400 are about alike; the fifty of transformers' default top_k would show here."""
    (texts,) = generate_texts(lvlm, pictures(1), PROMPTS[:1], Sampling(300, 1, 50.0), seed=0)
    assert len(set(texts)) > 100


def test_begun_texts_are_continued(lvlm: HuggingFaceLVLM) -> None:
    """What greedy writes after its own beginning is the rest of what it writes in one go."""
    image, prompt = pictures(1), PROMPTS[:1]
    processor = lvlm.processor
    begun = "two red rings"
    (new,) = generate_texts(lvlm, image, prompt, GREEDY, 0, prefixes=[begun])
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt[0]}]}],
        tokenize=False,
        add_generation_prompt=True,
    )
    inputs = processor(text=[f"{text} {begun}"], images=image, return_tensors="pt")
    loop = likeliest(lvlm, inputs, 12)
    expected = processor.tokenizer.decode(loop, skip_special_tokens=True)
    assert new == [expected.strip()]
    assert new != generate_texts(lvlm, image, prompt, GREEDY, 0)[0]


def test_some_begun_and_some_not(lvlm: HuggingFaceLVLM) -> None:
    images = pictures(2)
    mixed = generate_texts(lvlm, images, PROMPTS[:2], GREEDY, 0, prefixes=["", "Question: Where"])
    assert mixed[:1] == generate_texts(lvlm, images[:1], PROMPTS[:1], GREEDY, 0)
    assert mixed[1:] == generate_texts(lvlm, images[1:], PROMPTS[1:2], GREEDY, 0, prefixes=["Question: Where"])


def test_stops_at_the_end_of_turn(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own third token declared an end of turn, each text ends before it and its neighbours go on."""
    images = pictures(2)
    loops = [by_hand(lvlm, prompt, image, 12) for prompt, image in zip(PROMPTS, images, strict=False)]
    end = loops[0][2]
    assert end not in loops[0][:2]
    monkeypatch.setattr(lvlm.encoder, "end_of_turn_ids", lambda: [end])
    written = generate_texts(lvlm, images, PROMPTS[:2], GREEDY, seed=0)
    for loop, (text,) in zip(loops, written, strict=True):
        shown = loop[: loop.index(end)] if end in loop else loop
        assert text == lvlm.processor.tokenizer.decode(shown, skip_special_tokens=True).strip()


def test_real_end_token_ends_and_is_not_part_of_the_text(lvlm: HuggingFaceLVLM) -> None:
    """Sampled hot for long, some texts meet </s>; none holds it, and those that met it are shorter."""
    end, hot = lvlm.processor.tokenizer.eos_token_id, Sampling(samples=32, max_new_tokens=60, temperature=20.0)
    assert lvlm.encoder.end_of_turn_ids() == [end]
    generator = Generator(decoder_of(lvlm), lvlm.encoder, hot, [end])
    (rows,) = generator.generate([GenerationRequest(PROMPTS[0], pictures(1)[0])], 1)
    lengths = [len(row) for row in rows]
    assert min(lengths) < 40
    assert max(lengths) == 60
    assert not any(end in row for row in rows)
    (texts,) = generate_texts(lvlm, pictures(1), PROMPTS[:1], hot, seed=0)
    assert texts == [lvlm.processor.tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]


@pytest.mark.parametrize("begun", ["", "two red rings"])
def test_greedy_is_what_transformers_writes(lvlm: HuggingFaceLVLM, begun: str) -> None:
    images, processor = pictures(3), lvlm.processor
    written = generate_texts(lvlm, images, PROMPTS, GREEDY, 0, [begun] * 3, batch_size=2)
    for prompt, image, (text,) in zip(PROMPTS, images, written, strict=True):
        inputs = model_inputs(processor, [("user", prompt)], image)
        more = processor.tokenizer(f" {begun}", return_tensors="pt")["input_ids"] if begun else torch.zeros(1, 0).long()
        ids = torch.cat([inputs["input_ids"], more], dim=1)
        out = lvlm.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=inputs["pixel_values"],
            do_sample=False,
            max_new_tokens=12,
            suppress_tokens=[processor.image_token_id],
        )
        assert text == processor.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()


def test_one_seed_is_counted_on(lvlm: HuggingFaceLVLM) -> None:
    images, drawn = pictures(3), Sampling(2, 8, 1.0)
    one = generate_texts(lvlm, images, PROMPTS, drawn, 41)
    assert one == generate_texts(lvlm, images, PROMPTS, drawn, [41, 42, 43])
    assert one[1] != generate_texts(lvlm, images, PROMPTS, drawn, [41, 41, 43])[1]


def test_nothing_to_write(lvlm: HuggingFaceLVLM) -> None:
    assert generate_texts(lvlm, [], [], Sampling(), 0) == []


def test_without_an_end_every_text_is_as_long_as_it_may_be(lvlm: HuggingFaceLVLM) -> None:
    finished = list[int]()
    generator = Generator(decoder_of(lvlm), lvlm.encoder, Sampling(4, 9, 5.0), (), finished.append)
    requests = [GenerationRequest(PROMPTS[n], image, n) for n, image in enumerate(pictures(3))]
    written = generator.generate(requests, 2)
    assert [[len(row) for row in rows] for rows in written] == [[9] * 4] * 3
    assert sum(finished) == 12


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(4, 12, 1.0), Sampling(4, 12, 1.0, top_p=0.5)], ids=str)
def test_the_images_own_token_is_never_written(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, sampling: Sampling
) -> None:
    """Even where the model thinks it by far the likeliest; what is written is what would have been without it."""
    expected = generate_texts(lvlm, pictures(2), PROMPTS[:2], sampling, 0)
    logits, token = Decoder.logits, lvlm.images.token

    def longing(self: Decoder, hidden: Tensor) -> Tensor:
        return logits(self, hidden).index_fill(-1, torch.tensor([token]), 1000.0)

    monkeypatch.setattr(Decoder, "logits", longing)
    assert generate_texts(lvlm, pictures(2), PROMPTS[:2], sampling, 0) == expected
    generator = Generator(decoder_of(lvlm), lvlm.encoder, sampling, ())
    (rows,) = generator.generate([GenerationRequest(PROMPTS[0], pictures(1)[0])], 1)
    assert not any(token in row for row in rows)


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(lvlm: HuggingFaceLVLM) -> None:
    with pytest.raises(LVLMError, match=r"of \d{3} tokens \(9 of them the image's\) .* context of 256: 'ring ring"):
        generate_texts(lvlm, pictures(1), ["ring " * 300], GREEDY, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": 0},
        {"max_new_tokens": 0},
        {"temperature": -0.1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"temperature": 0.0, "samples": 2},
    ],
)
def test_sampling_that_cannot_be_drawn_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Sampling(**wrong)
