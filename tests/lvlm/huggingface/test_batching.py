"""Token rows and pictures as tensors."""

from pathlib import Path

import pytest
import torch
from transformers import AutoProcessor

from lightning_c3l.conversations import Turn
from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.batching import common_prefix, encode_images, pad, pad_mask, splice
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder, EncodedChat
from lightning_c3l.lvlm.huggingface.groups import BranchList, encode_trunks
from tests.tiny import pictures

CHAT = EncodedChat((5, 9, 6, 7), (False, False, True, False), (False, False, True, True))


def test_splice_keeps_what_stands_around() -> None:
    out = splice(CHAT, (1, 2, 3), placeholder=9)
    assert out.ids == (5, 1, 2, 3, 6, 7)
    assert out.answer == (False, False, False, False, True, False)
    assert out.target == (False, False, False, False, True, True)


@pytest.mark.parametrize(("placeholder", "count"), [(8, 0), (4, 2)])
def test_splice_wants_one_placeholder(placeholder: int, count: int) -> None:
    chat = EncodedChat((4, 5, 4), (False,) * 3, (False,) * 3)
    with pytest.raises(LVLMError, match=f"{count} image placeholders"):
        splice(chat, (1,), placeholder)


@pytest.mark.parametrize(
    ("rows", "limit", "expected"),
    [
        ([(1, 2, 3)], 9, 3),
        ([(1, 2, 3)], 2, 2),
        ([(1, 2, 3), (1, 2, 4)], 9, 2),
        ([(1, 2, 3, 4), (1, 2, 3), (1, 9)], 9, 1),
        ([(1,), (2,)], 9, 0),
    ],
)
def test_common_prefix(rows: list[tuple[int, ...]], limit: int, expected: int) -> None:
    assert common_prefix(rows, limit) == expected


def test_padding_sides() -> None:
    assert pad([[1, 2], [3]]).tolist() == [[1, 2], [3, 0]]
    assert pad([[1, 2], [3]], side="left", fill=7).tolist() == [[1, 2], [7, 3]]
    assert pad_mask([1, 2], side="left").tolist() == [[False, True], [True, True]]
    assert pad([(True, False), (True,)]).dtype == torch.bool


def test_a_mask_is_a_mask_even_where_the_first_row_is_empty() -> None:
    mask = pad_mask([0, 2])
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[False, False], [True, True]]


def test_images_are_prepared_alone(tiny_checkpoint: Path) -> None:
    processor, images = AutoProcessor.from_pretrained(tiny_checkpoint), pictures(2)
    out = encode_images(processor, images)
    assert out.tokens == [(processor.image_token_id,) * 9] * 2  # 48 / 16 squared
    expected = processor.image_processor(images, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(out.tensors["pixel_values"], expected)
    assert set(out.tensors) == {"pixel_values"}


def test_image_tokens_that_are_ordinary_ones_too(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gemma 3 and SmolVLM put line ends around an image; the same tokens come again in the texts."""
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    encoder, name = ChatEncoder(processor, "tiny"), "lightning_c3l.lvlm.huggingface.groups.encode_images"
    (line_end,) = processor.tokenizer("\n")["input_ids"]

    def surrounded(processor: object, images: object) -> object:
        real = encode_images(processor, images)  # type: ignore[arg-type]
        return type(real)([(line_end, *row, line_end) for row in real.tokens], real.tensors)

    monkeypatch.setattr(name, surrounded)
    rows = BranchList()
    for k, text in enumerate(("one\ntwo", "three\n\nfour")):
        rows.add(encoder.encode((Turn("user", "Write\ntwo lines."), Turn("assistant", text)), image=True), 0, k)
    trunk, branches = encode_trunks(encoder, rows, pictures(1), processor.image_token_id)
    assert int((trunk["input_ids"] == processor.image_token_id).sum()) == 9
    assert [processor.decode(row[mask]).strip() for row, mask in zip(branches.ids, branches.text, strict=True)] == [
        "one\ntwo",
        "three\n\nfour",
    ]


def test_text_that_differs_before_the_image_is_refused(tiny_checkpoint: Path) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    encoder, rows = ChatEncoder(processor, "tiny"), BranchList()
    for k, system in enumerate(("Be brief.", "Ramble.")):
        turns = (Turn("system", system), Turn("user", "Where?"), Turn("assistant", "here"))
        rows.add(encoder.encode(turns, image=True), 0, k)
    with pytest.raises(LVLMError, match="differing text before the image"):
        encode_trunks(encoder, rows, pictures(1), processor.image_token_id)
