"""Batched sampling: what it must not depend on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import LVLMError, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.forward import Decoder
from lightning_c3l.lvlm.huggingface.generation import Generator, Request, TextRows
from tests.tiny import load_tiny, model_inputs, pictures, plain

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
    batched = lvlm.generate(images, PROMPTS, GREEDY, seed=0)
    assert len({text for (text,) in batched}) == 3
    for prompt, image, written in zip(PROMPTS, images, batched, strict=True):
        expected = lvlm.processor.tokenizer.decode(by_hand(lvlm, prompt, image, 12), skip_special_tokens=True)
        assert written == [expected.strip()]


@pytest.mark.parametrize("own", [{"repetition_penalty": 5.0}, {"num_beams": 3}, {"no_repeat_ngram_size": 1}])
def test_the_checkpoints_own_generation_options_do_not_mix_in(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, own: dict[str, Any]
) -> None:
    plain = lvlm.generate(pictures(2), PROMPTS[:2], GREEDY, seed=0)
    for name, value in own.items():
        monkeypatch.setattr(lvlm.model.generation_config, name, value)
    assert lvlm.generate(pictures(2), PROMPTS[:2], GREEDY, seed=0) == plain


def test_the_image_is_looked_at(lvlm: HuggingFaceLVLM) -> None:
    texts = lvlm.generate(pictures(4), [PROMPTS[0]] * 4, GREEDY, seed=0)
    assert len({text for (text,) in texts}) > 1


def test_same_seed_same_texts(lvlm: HuggingFaceLVLM) -> None:
    drawn = Sampling(samples=3, max_new_tokens=8, temperature=1.0)
    first = lvlm.generate(pictures(2), PROMPTS[:2], drawn, seed=3)
    torch.rand(5)
    assert lvlm.generate(pictures(2), PROMPTS[:2], drawn, seed=3) == first
    assert lvlm.generate(pictures(2), PROMPTS[:2], drawn, seed=4) != first
    assert [len(texts) for texts in first] == [3, 3]
    assert all(len(set(texts)) > 1 for texts in first)


def test_global_random_state_stays(lvlm: HuggingFaceLVLM) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    lvlm.generate(pictures(1), PROMPTS[:1], Sampling(2, 4), seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_top_p_so_small_is_greedy(lvlm: HuggingFaceLVLM) -> None:
    narrow = Sampling(samples=2, max_new_tokens=12, temperature=1.0, top_p=1e-6)
    (greedy,) = lvlm.generate(pictures(1), PROMPTS[:1], GREEDY, seed=0)
    assert lvlm.generate(pictures(1), PROMPTS[:1], narrow, seed=0) == [greedy * 2]


def test_every_token_can_be_drawn(lvlm: HuggingFaceLVLM) -> None:
    """Hot enough, all 400 are about alike; the fifty of transformers' default top_k would show here."""
    (texts,) = lvlm.generate(pictures(1), PROMPTS[:1], Sampling(300, 1, 50.0), seed=0)
    assert len(set(texts)) > 100


def test_begun_texts_are_continued(lvlm: HuggingFaceLVLM) -> None:
    """What greedy writes after its own beginning is the rest of what it writes in one go."""
    image, prompt = pictures(1), PROMPTS[:1]
    processor = lvlm.processor
    begun = "two red rings"
    (new,) = lvlm.generate(image, prompt, GREEDY, 0, begun=[begun])
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt[0]}]}],
        tokenize=False,
        add_generation_prompt=True,
    )
    inputs = processor(text=[f"{text} {begun}"], images=image, return_tensors="pt")
    loop = likeliest(lvlm, inputs, 12)
    expected = processor.tokenizer.decode(loop, skip_special_tokens=True)
    assert new == [expected.strip()]
    assert new != lvlm.generate(image, prompt, GREEDY, 0)[0]


def test_some_begun_and_some_not(lvlm: HuggingFaceLVLM) -> None:
    images = pictures(2)
    mixed = lvlm.generate(images, PROMPTS[:2], GREEDY, 0, begun=["", "Question: Where"])
    assert mixed[:1] == lvlm.generate(images[:1], PROMPTS[:1], GREEDY, 0)
    assert mixed[1:] == lvlm.generate(images[1:], PROMPTS[1:2], GREEDY, 0, begun=["Question: Where"])


def test_stops_at_the_end_of_turn(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own third token declared an end of turn, each text ends before it and its neighbours go on."""
    images = pictures(2)
    loops = [by_hand(lvlm, prompt, image, 12) for prompt, image in zip(PROMPTS, images, strict=False)]
    end = loops[0][2]
    assert end not in loops[0][:2]
    monkeypatch.setattr(lvlm.encoder, "end_of_turn_ids", lambda: [end])
    written = lvlm.generate(images, PROMPTS[:2], GREEDY, seed=0)
    for loop, (text,) in zip(loops, written, strict=True):
        shown = loop[: loop.index(end)] if end in loop else loop
        assert text == lvlm.processor.tokenizer.decode(shown, skip_special_tokens=True).strip()


def test_real_end_token_ends_and_is_not_part_of_the_text(lvlm: HuggingFaceLVLM) -> None:
    """Sampled hot for long, some texts meet </s>; none holds it, and those that met it are shorter."""
    end, hot = lvlm.processor.tokenizer.eos_token_id, Sampling(samples=32, max_new_tokens=60, temperature=20.0)
    assert lvlm.encoder.end_of_turn_ids() == [end]
    generator = Generator(lvlm.decoder, lvlm.encoder, hot, [end])
    (rows,) = generator.write([Request(0, pictures(1)[0], PROMPTS[0], "", 0)], 1)
    lengths = [len(row) for row in rows]
    assert min(lengths) < 40
    assert max(lengths) == 60
    assert not any(end in row for row in rows)
    (texts,) = lvlm.generate(pictures(1), PROMPTS[:1], hot, seed=0)
    assert texts == [lvlm.processor.tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]


@pytest.mark.parametrize("begun", ["", "two red rings"])
def test_greedy_is_what_transformers_writes(lvlm: HuggingFaceLVLM, begun: str) -> None:
    images, processor = pictures(3), lvlm.processor
    written = lvlm.generate(images, PROMPTS, GREEDY, 0, [begun] * 3, batch_size=2)
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


# prompts of differing lengths, some of them about one picture, one with its answer begun
ASKED = [
    *PROMPTS,
    "Describe the picture from left to right, shape by shape, and say what color each one is.",
    "Q",
    PROMPTS[0],
    "How many rings are there?",
]
PICTURED = [0, 1, 2, 0, 1, 3, 0]
BEGUN = ["", "", "two", "", "", "Question: Where", ""]
SEEDS = [5, 900, 31, 2, 77, 5, 13]
DRAWN = Sampling(samples=3, max_new_tokens=16, temperature=1.3)


@pytest.fixture
def ending(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every seventh token ends a text, so that texts are of differing lengths and rows make room for others."""
    monkeypatch.setattr(lvlm.encoder, "end_of_turn_ids", lambda: list(range(2, 400, 7)))


def texts_of(lvlm: HuggingFaceLVLM, wanted: list[int], batch_size: int | None = None, **options: Any) -> Any:
    """What is written for these of the prompts, in this order."""
    images = pictures(4)
    return lvlm.generate(
        [images[PICTURED[n]] for n in wanted],
        [ASKED[n] for n in wanted],
        options.pop("sampling", DRAWN),
        [SEEDS[n] for n in wanted],
        [BEGUN[n] for n in wanted],
        batch_size,
        **options,
    )


@pytest.fixture(scope="module")
def alone(tiny_checkpoint: Path) -> list[list[str]]:
    """Each prompt's texts, written alone."""
    lvlm = load_tiny(tiny_checkpoint)
    lvlm.encoder.end_of_turn_ids = lambda: list(range(2, 400, 7))  # type: ignore[method-assign]
    texts = [texts_of(lvlm, [n])[0] for n in range(7)]
    lengths = {len(lvlm.processor.tokenizer(text)["input_ids"]) for own in texts for text in own}
    assert len(lengths) > 5
    assert len({text for own in texts for text in own}) > 15
    return texts


@pytest.mark.usefixtures("ending")
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, None])
def test_texts_do_not_depend_on_the_batch(
    lvlm: HuggingFaceLVLM, alone: list[list[str]], batch_size: int | None
) -> None:
    assert texts_of(lvlm, list(range(7)), batch_size) == alone


@pytest.mark.usefixtures("ending")
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_logits_are_those_of_each_text_alone(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    """Texts forgive small errors; what their tokens are drawn from does not."""
    seen, take = dict[tuple[int, int], list[Tensor]](), Generator._take

    def watched(self: Generator, state: TextRows, logits: Tensor) -> None:
        for (row, sample), values in zip((~state.done).nonzero().tolist(), logits.clone(), strict=True):
            seen.setdefault((state.requests[row].number, sample), []).append(values)
        take(self, state, logits)

    monkeypatch.setattr(Generator, "_take", watched)
    images, ends = pictures(4), lvlm.encoder.end_of_turn_ids()
    requests = [Request(n, images[PICTURED[n]], ASKED[n], BEGUN[n], SEEDS[n]) for n in range(7)]
    written = Generator(lvlm.decoder, lvlm.encoder, DRAWN, ends).write(requests, batch_size)
    for request, texts in zip(requests, written, strict=True):
        inputs = model_inputs(lvlm.processor, [("user", request.prompt)], request.image)
        begun = lvlm.processor.tokenizer(f" {request.begun}")["input_ids"] if request.begun else []
        for sample, text in enumerate(texts):
            ids = torch.cat([inputs["input_ids"], torch.tensor([[*begun, *text]], dtype=torch.long)], dim=1)
            with torch.no_grad():
                logits = lvlm.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0]
            found = torch.stack(seen[request.number, sample])
            # one more than its tokens where it met an end
            assert len(found) == min(len(text) + 1, DRAWN.max_new_tokens)
            expected = logits[ids.shape[1] - len(text) - 1 :][: len(found)]
            torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.usefixtures("ending")
@pytest.mark.parametrize("wanted", [[6, 5, 4, 3, 2, 1, 0], [3, 0, 5, 1], [2, 2, 4, 2], [5, 6]], ids=str)
@pytest.mark.parametrize("batch_size", [2, 3])
def test_texts_do_not_depend_on_order_and_company(
    lvlm: HuggingFaceLVLM, alone: list[list[str]], wanted: list[int], batch_size: int
) -> None:
    assert texts_of(lvlm, wanted, batch_size) == [alone[n] for n in wanted]


@pytest.mark.usefixtures("ending")
@pytest.mark.parametrize("samples", [1, 2, 6])
def test_a_text_does_not_depend_on_how_many_there_are(
    lvlm: HuggingFaceLVLM, alone: list[list[str]], samples: int
) -> None:
    other = Sampling(samples, DRAWN.max_new_tokens, DRAWN.temperature)
    for texts, known in zip(texts_of(lvlm, [0, 1, 2], sampling=other), alone, strict=False):
        assert len(texts) == samples
        assert texts[:3] == known[:samples]


def test_one_seed_is_counted_on(lvlm: HuggingFaceLVLM) -> None:
    images, drawn = pictures(3), Sampling(2, 8, 1.0)
    one = lvlm.generate(images, PROMPTS, drawn, 41)
    assert one == lvlm.generate(images, PROMPTS, drawn, [41, 42, 43])
    assert one[1] != lvlm.generate(images, PROMPTS, drawn, [41, 41, 43])[1]


def test_nothing_to_write(lvlm: HuggingFaceLVLM) -> None:
    assert lvlm.generate([], [], DRAWN, 0) == []


@contextmanager
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """Rows and columns of each pass through the decoder."""
    seen, run = list[tuple[int, int]](), Decoder.run

    def watched(self: Decoder, embeds: Tensor, *args: Any) -> Tensor:
        seen.append((embeds.shape[0], embeds.shape[1]))
        return run(self, embeds, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "run", watched)
        yield seen


@pytest.mark.usefixtures("ending")
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_prompts_run_once_and_no_more_than_a_batch_of_them_at_once(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    """Their texts are written beside each other; what is finished makes room."""
    with passes(monkeypatch) as seen:
        texts_of(lvlm, list(range(7)), batch_size)
    first = [rows for rows, columns in seen if columns > DRAWN.samples]
    steps = [rows for rows, columns in seen if columns == DRAWN.samples]
    assert len(first) + len(steps) == len(seen)
    assert sum(first) == 7
    assert max(rows for rows, _ in seen) == batch_size
    if batch_size == 3:
        assert first != [3, 3, 1]  # refilled while others were being written
    if batch_size == 7:
        assert steps == sorted(steps, reverse=True)
        assert steps[-1] < 7


@pytest.mark.usefixtures("ending")
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_progress_adds_up_to_the_texts(lvlm: HuggingFaceLVLM, batch_size: int | None) -> None:
    finished = list[int]()
    texts_of(lvlm, list(range(7)), batch_size, progress=finished.append)
    assert sum(finished) == 7 * 3
    assert min(finished) >= 0
    assert len([count for count in finished if count]) > 3


def test_without_an_end_every_text_is_as_long_as_it_may_be(lvlm: HuggingFaceLVLM) -> None:
    finished = list[int]()
    generator = Generator(lvlm.decoder, lvlm.encoder, Sampling(4, 9, 5.0), (), finished.append)
    requests = [Request(n, image, PROMPTS[n], "", n) for n, image in enumerate(pictures(3))]
    written = generator.write(requests, 2)
    assert [[len(row) for row in rows] for rows in written] == [[9] * 4] * 3
    assert sum(finished) == 12


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(4, 12, 1.0), Sampling(4, 12, 1.0, top_p=0.5)], ids=str)
def test_the_images_own_token_is_never_written(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, sampling: Sampling
) -> None:
    """Even where the model thinks it by far the likeliest; what is written is what would have been without it."""
    expected = lvlm.generate(pictures(2), PROMPTS[:2], sampling, 0)
    logits, token = Decoder.logits, lvlm.images.token

    def longing(self: Decoder, hidden: Tensor) -> Tensor:
        return logits(self, hidden).index_fill(-1, torch.tensor([token]), 1000.0)

    monkeypatch.setattr(Decoder, "logits", longing)
    assert lvlm.generate(pictures(2), PROMPTS[:2], sampling, 0) == expected
    generator = Generator(lvlm.decoder, lvlm.encoder, sampling, ())
    (rows,) = generator.write([Request(0, pictures(1)[0], PROMPTS[0], "", 0)], 1)
    assert not any(token in row for row in rows)


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(lvlm: HuggingFaceLVLM) -> None:
    with pytest.raises(LVLMError, match=r"of \d{3} tokens \(9 of them the image's\) .* context of 256: 'ring ring"):
        lvlm.generate(pictures(1), ["ring " * 300], GREEDY, 0)


@contextmanager
def tower(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Number of images of each pass through the vision tower."""
    seen, model = list[int](), lvlm.model
    features = model.get_image_features

    def watched(pixel_values: Tensor, **options: Any) -> Any:
        seen.append(len(pixel_values))
        return features(pixel_values=pixel_values, **options)

    with monkeypatch.context() as patch:
        patch.setattr(model, "get_image_features", watched)
        yield seen


def work(lvlm: HuggingFaceLVLM, images: list[Image]) -> None:
    """Write about two pictures and score with both, each several times."""
    one, other = images
    lvlm.generate([one, other, one], PROMPTS, GREEDY, 0, batch_size=1)
    lvlm.score([other, one], [[("Where?", "here")]] * 2, [one, other])


def test_a_remembered_image_runs_through_the_tower_once(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(2)
    with tower(lvlm, monkeypatch) as seen:
        with lvlm.remembering():
            work(lvlm, images)
            with lvlm.reference(), lvlm.remembering():
                work(lvlm, images)
        assert sum(seen) == 2
        # three prompts one by one, two images to score, and their two partners
        work(lvlm, images)
        assert sum(seen) == 2 + 7
        lvlm.generate([images[0]] * 3, PROMPTS, GREEDY, 0)
        assert sum(seen) == 2 + 7 + 1


@pytest.mark.parametrize("lora", [None, LoRA(rank=2, vision=True)], ids=["full", "vision"])
def test_a_tower_that_is_trained_is_not_remembered(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, lora: LoRA | None
) -> None:
    """What it said before a step of training is not what it says after."""
    lvlm, (image, other) = load_tiny(tiny_checkpoint, lora), pictures(2)
    with lvlm.remembering(), tower(lvlm, monkeypatch) as seen:
        work(lvlm, [image, other])
        assert sum(seen) == 7
        before = lvlm.score([image], [[("Where?", "here")]]).logp
        with torch.no_grad():
            for name, parameter in lvlm.network.named_parameters():
                if parameter.requires_grad and "vision_tower" in name:
                    parameter.mul_(3.0)
        after = lvlm.score([image], [[("Where?", "here")]])
    assert float((after.logp - before).abs().max()) > 1e-3
    expected = plain(lvlm, "Where?", "here", image).logp().detach()
    torch.testing.assert_close(after.logp[after.mask], expected, atol=1e-4, rtol=1e-4)


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
