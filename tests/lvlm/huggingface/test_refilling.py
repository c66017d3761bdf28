"""Texts of many prompts at once, in rows that make room for others, against each prompt's alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.forward import Decoder
from lightning_c3l.lvlm.huggingface.generation import GenerationState, Generator
from tests.helpers.tiny import decoder_of, generate_texts, load_tiny, model_inputs, pictures

# prompts of differing lengths, some of them about one picture, one with its answer begun
ASKED = [
    "Describe the picture.",
    "Write a color question with its answer.",
    "Where?",
    "Describe the picture from left to right, shape by shape, and say what color each one is.",
    "Q",
    "Describe the picture.",
    "How many rings are there?",
]
PICTURED = [0, 1, 2, 0, 1, 3, 0]
BEGUN = ["", "", "two", "", "", "Question: Where", ""]
SEEDS = [5, 900, 31, 2, 77, 5, 13]
DRAWN = Sampling(samples=3, max_new_tokens=16, temperature=1.3)


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


@pytest.fixture
def ending(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every seventh token ends a text, so that texts are of differing lengths and rows make room for others."""
    monkeypatch.setattr(lvlm.encoder, "end_of_turn_ids", lambda: list(range(2, 400, 7)))


def texts_of(lvlm: HuggingFaceLVLM, wanted: list[int], batch_size: int | None = None, **options: Any) -> Any:
    """What is written for these of the prompts, in this order."""
    images = pictures(4)
    return generate_texts(
        lvlm,
        [images[PICTURED[n]] for n in wanted],
        [ASKED[n] for n in wanted],
        options.pop("sampling", DRAWN),
        [SEEDS[n] for n in wanted],
        [BEGUN[n] for n in wanted],
        batch_size=batch_size,
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
    seen, take = dict[tuple[int, int], list[Tensor]](), Generator._append

    def watched(self: Generator, state: GenerationState, logits: Tensor) -> None:
        for (row, sample), values in zip((~state.done).nonzero().tolist(), logits.clone(), strict=True):
            seen.setdefault((state.indices[row], sample), []).append(values)
        take(self, state, logits)

    monkeypatch.setattr(Generator, "_append", watched)
    images, ends = pictures(4), lvlm.encoder.end_of_turn_ids()
    requests = [GenerationRequest(ASKED[n], images[PICTURED[n]], SEEDS[n], BEGUN[n]) for n in range(7)]
    written = Generator(decoder_of(lvlm), lvlm.encoder, DRAWN, ends).generate(requests, batch_size)
    for index, (request, texts) in enumerate(zip(requests, written, strict=True)):
        inputs = model_inputs(lvlm.processor, [("user", request.prompt)], request.image)
        begun = lvlm.processor.tokenizer(f" {request.answer_prefix}")["input_ids"] if request.answer_prefix else []
        for sample, text in enumerate(texts):
            ids = torch.cat([inputs["input_ids"], torch.tensor([[*begun, *text]], dtype=torch.long)], dim=1)
            with torch.no_grad():
                logits = lvlm.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0]
            found = torch.stack(seen[index, sample])
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
