"""Batched greedy texts against `model.generate` on each prompt alone."""

from collections.abc import Sequence

import pytest
from PIL.Image import Image

from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from tests.helpers.families.reference import Reference
from tests.helpers.families.samples import GREEDY, PROMPTS
from tests.helpers.tiny import generate_texts


def written(reference: Reference, images: Sequence[Image], ends: list[int]) -> list[list[str]]:
    """What `model.generate` writes for each prompt alone."""
    out = list[list[str]]()
    for prompt, image in zip(PROMPTS, images, strict=True):
        ids = reference.writes(prompt, image, ends, GREEDY.max_new_tokens)
        out.append([reference.decode(ids[:-1] if ids[-1] in ends else ids)])
    return out


@pytest.fixture(scope="session")
def texts(reference: Reference, images: list[Image]) -> list[list[str]]:
    return written(reference, images, real_ends(reference))


def real_ends(reference: Reference) -> list[int]:
    tokenizer = reference.processor.tokenizer
    return sorted({tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(reference.family.end)})


def test_ends_of_turn(lvlm: HuggingFaceLVLM, reference: Reference) -> None:
    assert lvlm.encoder.end_of_turn_ids() == real_ends(reference)


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
    reference: Reference,
    images: list[Image],
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
) -> None:
    """With a token of one text declared an end, texts end at different times and others take their rows."""
    end = reference.writes(PROMPTS[0], images[0], real_ends(reference), GREEDY.max_new_tokens)[2]
    monkeypatch.setattr(lvlm.encoder, "end_of_turn_ids", lambda: [end])
    expected = written(reference, images, [end])
    lengths = {len(reference.processor.tokenizer(text)["input_ids"]) for (text,) in expected}
    assert len(lengths) > 1
    assert generate_texts(lvlm, images, PROMPTS, GREEDY, 0, batch_size=batch_size) == expected


@pytest.mark.parametrize("begun", ["two", "The rings are red, and"])
def test_begun_texts_go_on(
    lvlm: HuggingFaceLVLM, reference: Reference, images: list[Image], begun: str, texts: list[list[str]]
) -> None:
    ids = reference.goes_on(PROMPTS[1], begun, images[1], real_ends(reference), GREEDY.max_new_tokens)
    mixed = generate_texts(lvlm, images[:2], PROMPTS[:2], GREEDY, 0, prefixes=["", begun])
    assert mixed == [texts[0], [reference.decode(ids)]]


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
