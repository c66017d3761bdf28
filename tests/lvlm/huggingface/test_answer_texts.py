"""Texts of an answer's tokens: they are as many as are scored, and joined they are the answer, for any tokenizer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoProcessor, PreTrainedTokenizerFast

from lightning_c3l.lvlm.hub import resolve
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.records import Turn
from tests.helpers.families.tokens import CORPUS
from tests.helpers.tiny import encoder_of, load_tiny, pictures

SPECIALS = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]
ANSWERS = (
    "red",
    "The rings are red, two  of them.",
    "top left,\n\tor below",
    "\U0001f600 is \U0001f469\u200d\U0001f467 there",
    "\u732b\u306f\u3053\u3053",
    "\u0645\u0631\u062d\u0628\u0627 \u05d0\u05d1",
    "e\u0301te\u0301, \ufb01ne and \uff21",
    "\u202egnp",
)


def byte_level(**options: Any) -> Tokenizer:
    """Byte-level BPE, as GPT-2 and most decoders of today have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(**options)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(tokenizer, trainers.BpeTrainer(special_tokens=SPECIALS, vocab_size=320, initial_alphabet=alphabet))


def sentencepiece_bpe() -> Tokenizer:
    """Pieces with a mark for the blank, and bytes for characters that have no piece, as Llama 2 has it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    return _trained(tokenizer, trainers.BpeTrainer(special_tokens=[*SPECIALS, *bytes_], vocab_size=400))


def unigram() -> Tokenizer:
    """Unigram pieces over normalised text, as T5 and XLM-R have it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(special_tokens=SPECIALS, vocab_size=120, unk_token="<unk>")
    return _trained(tokenizer, trainer)


def _trained(tokenizer: Tokenizer, trainer: Any) -> Tokenizer:
    trainer.show_progress = False
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


TOKENIZERS: dict[str, Callable[[], Tokenizer] | None] = {
    # the base of the embedded world
    "shipped": None,
    "byte level": lambda: byte_level(add_prefix_space=False),
    "byte level without blanks": lambda: byte_level(add_prefix_space=True, trim_offsets=True),
    "sentencepiece": sentencepiece_bpe,
    "unigram": unigram,
}


@pytest.fixture(scope="module", params=list(TOKENIZERS))
def encoder(request: pytest.FixtureRequest, tiny_checkpoint: Path) -> ChatEncoder:
    folder = resolve("shipped:scenes") if request.param == "shipped" else tiny_checkpoint
    processor = AutoProcessor.from_pretrained(folder)
    if build := TOKENIZERS[request.param]:
        processor.tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=build(), unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>",
            additional_special_tokens=["<image>"],
        )  # fmt: skip
        processor.image_token_id = processor.tokenizer.convert_tokens_to_ids("<image>")
    return encoder_of(processor)


@pytest.mark.parametrize("answer", ANSWERS)
def test_joined_they_are_the_answer(encoder: ChatEncoder, answer: str) -> None:
    turns = (Turn("user", "What is it?"), Turn("assistant", answer), Turn("user", "And?"), Turn("assistant", "two red"))
    texts = encoder.answer_texts(turns)
    assert ["".join(own) for own in texts] == [answer, "two red"]
    assert [len(own) for own in texts] == encoder.encode(turns).answer_lengths


def test_bytes_of_a_character_stand_together(tiny_checkpoint: Path) -> None:
    encoder = encoder_of(AutoProcessor.from_pretrained(tiny_checkpoint))
    (texts,) = encoder.answer_texts((Turn("user", "?"), Turn("assistant", "a\U0001f600b")))
    # four bytes of UTF-8, for which a vocabulary of four hundred has no token of their own
    assert texts == ["a", "\U0001f600", "", "", "", "b"]


def test_control_tokens_and_halves_of_characters_are_no_part_of_an_answer(encoder: ChatEncoder) -> None:
    (texts,) = encoder.answer_texts((Turn("user", "?"), Turn("assistant", " red</s>, \ud800<image> blue ")))
    assert "".join(texts) == "red, \ufffd blue"


def test_an_empty_answer_has_no_text(encoder: ChatEncoder) -> None:
    assert "".join(encoder.answer_texts((Turn("user", "?"), Turn("assistant", " ")))[0]) == ""


def test_there_is_a_text_for_each_token_that_is_scored(tiny_checkpoint: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint, None)
    chats = [
        [(Turn("user", "What?"), Turn("assistant", answer)) for answer in ANSWERS],
        [(Turn("user", "What?"), Turn("assistant", "a b"), Turn("user", "And?"), Turn("assistant", "c"))],
    ]
    tokens = lvlm.score([[image] for image in pictures(2)], chats)
    assert [len(texts) for texts in lvlm.answer_texts(chats)] == tokens.mask.sum(1).tolist()
