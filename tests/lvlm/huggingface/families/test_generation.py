"""Batched greedy texts against `model.generate` on each prompt alone."""

from collections.abc import Sequence

import pytest
from PIL.Image import Image

from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from tests.helpers.families.native import Native, messages
from tests.helpers.families.samples import GREEDY, PROMPTS
from tests.helpers.tiny import generate_texts


def written(native: Native, images: Sequence[Image], ends: list[int]) -> list[list[str]]:
    """What `model.generate` writes for each prompt alone."""
    out = list[list[str]]()
    for prompt, image in zip(PROMPTS, images, strict=True):
        ids = native.write_ids(native.inputs(messages([("user", prompt)], image)), ends, GREEDY.max_new_tokens)
        out.append([native.decode(ids[:-1] if ids[-1] in ends else ids)])
    return out


@pytest.fixture(scope="session")
def texts(native: Native, images: list[Image]) -> list[list[str]]:
    return written(native, images, native.ends)


def test_ends_of_turn(lvlm: HuggingFaceLVLM, native: Native) -> None:
    assert lvlm.encoder.end_of_turn_ids() == native.ends


def test_writing_together_is_writing_alone(lvlm: HuggingFaceLVLM, images: list[Image], texts: list[list[str]]) -> None:
    assert len({text for (text,) in texts}) == len(PROMPTS)
    assert generate_texts(lvlm, images, PROMPTS, GREEDY, 0) == texts
    one_by_one = [
        generate_texts(lvlm, [image], [prompt], GREEDY, 0)[0] for image, prompt in zip(images, PROMPTS, strict=True)
    ]
    assert one_by_one == texts


@pytest.mark.parametrize("batch_size", [2, 3])
def test_rows_are_refilled(
    lvlm: HuggingFaceLVLM,
    native: Native,
    images: list[Image],
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
) -> None:
    """With a token of one text declared an end, texts end at different times and others take their rows."""
    inputs = native.inputs(messages([("user", PROMPTS[0])], images[0]))
    end = native.write_ids(inputs, native.ends, GREEDY.max_new_tokens)[2]
    monkeypatch.setattr(lvlm.encoder, "end_of_turn_ids", lambda: [end])
    expected = written(native, images, [end])
    lengths = {len(native.processor.tokenizer(text)["input_ids"]) for (text,) in expected}
    assert len(lengths) > 1
    assert generate_texts(lvlm, images, PROMPTS, GREEDY, 0, batch_size=batch_size) == expected


@pytest.mark.parametrize("begun", ["two", "The rings are red, and"])
def test_begun_texts_go_on(
    lvlm: HuggingFaceLVLM, native: Native, images: list[Image], begun: str, texts: list[list[str]]
) -> None:
    expected = native.goes_on(PROMPTS[1], begun, images[1], GREEDY.max_new_tokens)
    mixed = generate_texts(lvlm, images[:2], PROMPTS[:2], GREEDY, 0, prefixes=["", begun])
    assert mixed == [texts[0], [expected]]


def test_texts_of_one_prompt_do_not_feel_each_other(lvlm: HuggingFaceLVLM, images: list[Image]) -> None:
    drawn = Sampling(samples=3, max_new_tokens=6, temperature=1.0)
    together = generate_texts(lvlm, images, PROMPTS, drawn, 5, batch_size=2)
    assert any(len(set(own)) > 1 for own in together)
    for number, (image, prompt) in enumerate(zip(images, PROMPTS, strict=True)):
        first = Sampling(samples=1, max_new_tokens=6, temperature=1.0)
        assert generate_texts(lvlm, [image], [prompt], first, 5 + number)[0] == together[number][:1]


def test_the_image_is_looked_at(lvlm: HuggingFaceLVLM, images: list[Image]) -> None:
    prompts = [PROMPTS[0]] * len(images)
    assert len({text for (text,) in generate_texts(lvlm, images, prompts, GREEDY, 0)}) > 1
