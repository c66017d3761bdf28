"""Images as tokens and features: what the processor says of each alone, and the tower run once for each."""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest
import torch
from PIL.Image import Image
from torch import Tensor
from transformers import AutoProcessor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from lightning_c3l.lvlm.base import ImageError, LVLMError, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.images import ImageEncoder, ImageTokens, grid_of
from tests.helpers.tiny import IMAGE, encoder_of, generate_texts, load_tiny, pictures

TOKEN = 7
LETTERS = {1: "a", 2: "b", TOKEN: "#"}


class Spelled:
    """A processor whose texts and tokens are written down; each picture's width chooses its row."""

    def __init__(self, rows: dict[int, list[int]]) -> None:
        self.rows, self.tokenizer = rows, self

    def __call__(self, text: Sequence[str], images: Sequence[Sequence[Image]], **options: Any) -> dict[str, Tensor]:
        assert list(text) == ["#"] * len(images)
        own = [self.rows[image.width] for (image,) in images]
        width = max(map(len, own))
        ids = torch.tensor([[0] * (width - len(row)) + row for row in own])
        sizes = torch.tensor([[image.height, image.width] for (image,) in images])
        more = {"mm_token_type_ids": ids, "token_type_ids": ids, "image_sizes": sizes}
        return {"input_ids": ids, "attention_mask": (ids > 0).long(), **more}

    def decode(self, ids: Sequence[int], **options: Any) -> str:
        return "".join(LETTERS[token] for token in ids)


def spelled(rows: dict[int, list[int]]) -> ImageEncoder:
    return ImageEncoder(SimpleNamespace(image_token_id=TOKEN), Spelled(rows), "tiny", "#")


def blank(width: int, height: int = 3) -> Image:
    return PIL.Image.new("RGB", (width, height))


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


def test_runs_of_image_tokens_become_one_each() -> None:
    rows = {5: [1, TOKEN, TOKEN, TOKEN, 2, 2, TOKEN, 1, TOKEN, TOKEN], 6: [TOKEN, TOKEN], 7: [1]}
    tokens, pixels = spelled(rows).encode([blank(5), blank(6), blank(7)])
    assert tokens == [ImageTokens("a#bb#a#", (3, 1, 2)), ImageTokens("#", (2,)), ImageTokens("a", ())]
    assert [one.count for one in tokens] == [6, 2, 0]
    # kinds of tokens are no pixels
    assert {name: value.tolist() for name, value in pixels.items()} == {"image_sizes": [[3, 5], [3, 6], [3, 7]]}


def test_images_are_prepared_alone(tiny_checkpoint: Path) -> None:
    processor, images = AutoProcessor.from_pretrained(tiny_checkpoint), pictures(2)
    tokens, pixels = encoder_of(processor).images.encode(images)
    assert tokens == [IMAGE] * 2
    expected = processor.image_processor(images, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(pixels["pixel_values"], expected)
    assert set(pixels) == {"pixel_values"}


@pytest.mark.parametrize("error", [ValueError("too narrow"), RuntimeError("too narrow"), OSError("too narrow")])
def test_an_image_that_the_processor_cannot_take_is_named_by_its_size(
    tiny_checkpoint: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    encoder = encoder_of(processor)

    def refuse(*args: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(type(processor.image_processor), "__call__", refuse)
    with pytest.raises(LVLMError, match=r"tiny: the processor does not accept an image \(400x2 pixels\): too narrow"):
        encoder.images.encode([blank(400, 2)])


def test_a_model_that_does_not_say_which_its_image_token_is() -> None:
    processor = SimpleNamespace(tokenizer=SimpleNamespace(get_vocab=lambda: {"#": 5, "<begin>": 6}))
    config = SimpleNamespace()
    assert ImageEncoder(config, processor, "tiny", "#").token == 5
    beginning = SimpleNamespace(tokenizer=processor.tokenizer, boi_token="<begin>")
    assert ImageEncoder(config, beginning, "tiny", "").token == 6
    with pytest.raises(LVLMError, match="tiny: the model has no image token"):
        ImageEncoder(config, processor, "tiny", "")


def test_a_mismatch_of_tokens_and_features_names_both_numbers(lvlm: HuggingFaceLVLM) -> None:
    lvlm.images.check(18, 18)
    with pytest.raises(LVLMError, match=r"9 image tokens in the prompt for 4 image features") as caught:
        lvlm.images.check(9, 4)
    assert "\n" not in str(caught.value)


def test_a_processor_of_another_patch_size_is_found_out(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """With patches of 24 it would write 4 tokens where the tower gives 9 features."""
    monkeypatch.setattr(lvlm.processor, "patch_size", 24)
    with pytest.raises(LVLMError, match="8 image tokens in the prompt for 18 image features"):
        lvlm.images.encode_features(lvlm.model, pictures(2))


def test_features_are_those_of_each_image_alone(lvlm: HuggingFaceLVLM) -> None:
    images = pictures(3)
    seen = lvlm.images.encode_features(lvlm.model, [*images, images[0]])
    assert seen[3] is seen[0]
    for one, image in zip(seen, images, strict=False):
        pixels = lvlm.processor.image_processor([image], return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            (expected,) = lvlm.model.get_image_features(pixel_values=pixels, return_dict=True).pooler_output
        assert one.tokens == IMAGE
        assert one.features.pooled.shape == (9, 48)
        torch.testing.assert_close(one.features.pooled, expected, atol=1e-3, rtol=1e-4)


class Tower:
    """Features of a picture are its height and width, one vector for each token; notes what runs together."""

    device = torch.device("cpu")

    def __init__(self, counts: dict[int, int]) -> None:
        self.counts, self.runs = counts, list[list[int]]()

    def get_image_features(self, image_sizes: Tensor, return_dict: bool) -> Any:
        widths = [width for _, width in image_sizes.tolist()]
        self.runs.append(widths)
        parts = [size.float().repeat(self.counts[width], 1) for size, width in zip(image_sizes, widths, strict=True)]
        return BaseModelOutputWithPooling(pooler_output=parts)


def test_images_with_differing_numbers_of_tokens_get_their_own_features() -> None:
    encoder, tower = spelled({5: [TOKEN, 1, TOKEN], 6: [TOKEN]}), Tower({5: 2, 6: 1})
    wide, narrow = blank(6), blank(5)
    seen = encoder.encode_features(tower, [wide, narrow, wide])
    assert [one.features.pooled.tolist() for one in seen] == [[[3, 6]], [[3, 5], [3, 5]], [[3, 6]]]
    assert tower.runs == [[6, 5]]


def test_remembered_images_run_once_until_the_outermost_block_is_left() -> None:
    encoder, tower = spelled({5: [TOKEN], 6: [TOKEN]}), Tower({5: 1, 6: 1})
    one, other = blank(5), blank(6)
    with encoder.cache_image_features():
        encoder.encode_features(tower, [one])
        with encoder.cache_image_features():
            encoder.encode_features(tower, [other, one])
        encoder.encode_features(tower, [one, other])
        # another picture of the same size is another picture
        encoder.encode_features(tower, [blank(5)])
    assert tower.runs == [[5], [6], [5]]
    encoder.encode_features(tower, [one])
    encoder.encode_features(tower, [one])
    assert tower.runs[3:] == [[5], [5]]


def test_an_error_does_not_keep_memory_on() -> None:
    encoder, tower = spelled({5: [TOKEN]}), Tower({5: 1})
    image = blank(5)

    def interrupted() -> None:
        with encoder.cache_image_features():
            encoder.encode_features(tower, [image])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    encoder.encode_features(tower, [image])
    assert tower.runs == [[5], [5]]


@pytest.mark.parametrize("remembered", [False, True])
def test_refused_pictures_are_told_from_the_others(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, remembered: bool
) -> None:
    images, encode = pictures(3), lvlm.images.encode

    def narrow(wanted: Sequence[Image]) -> Any:
        if any(image is images[1] for image in wanted):
            raise ImageError("too narrow")
        return encode(wanted)

    monkeypatch.setattr(lvlm.images, "encode", narrow)
    with lvlm.cache_image_features() if remembered else nullcontext():
        assert lvlm.unsupported_images(images) == ["", "too narrow", ""]
    assert lvlm.unsupported_images(images[::2]) == ["", ""]


@pytest.mark.parametrize(("context", "refusal"), [(9, "its 9 image tokens .* context of 9"), (10, "^$"), (None, "^$")])
def test_pictures_that_leave_no_room_are_refused(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, context: int | None, refusal: str
) -> None:
    monkeypatch.setattr(lvlm.encoder, "context", context)
    (found,) = lvlm.unsupported_images(pictures(1))
    assert re.search(refusal, found)


def test_what_was_looked_at_while_remembering_is_not_looked_at_again(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, runs = pictures(2), list[int]()
    features = lvlm.images.features

    def watched(model: Any, pixels: Any) -> Tensor:
        runs.append(len(pixels["pixel_values"]))
        return features(model, pixels)

    monkeypatch.setattr(lvlm.images, "features", watched)
    lvlm.unsupported_images(images)
    assert runs == []  # the processor alone knows
    with lvlm.cache_image_features():
        lvlm.unsupported_images(images)
        generate_texts(lvlm, images, ["Where?"] * 2, Sampling(1, 2, 0.0), 0)
    assert runs == [2]


def test_grids_are_kept_for_positions() -> None:
    grid, pixels = torch.tensor([[1, 4, 4]]), torch.zeros(16, 3)
    assert grid_of({"image_grid_thw": grid, "pixel_values": pixels}) == {"image_grid_thw": grid}
