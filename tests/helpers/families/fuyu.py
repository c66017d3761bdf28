"""Fuyu: no tower, a linear map of patches before Persimmon."""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.normalizers import Prepend
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from transformers import (
    FuyuConfig,
    FuyuForCausalLM,
    FuyuImageProcessor,
    FuyuProcessor,
    PersimmonConfig,
    PreTrainedTokenizerFast,
)

from tests.helpers.families.family import DECODER, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

PATCH = 14
IMAGE, NEW_LINE = "|SPEAKER|", "|NEWLINE|"
SPECIALS = ["|ENDOFTEXT|", "<unk>", "<s>", *(f"<0x0{number}>" for number in range(5)), IMAGE, NEW_LINE]
WORDS = r"\|SPEAKER\||\|NEWLINE\|| ?\p{L}+| ?[^\s\p{L}|]+|\s+|\|"
# the processor puts image tokens before the text, and the mark that begins an answer behind the last turn
TEMPLATE = (
    "{% for message in messages %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% if message['role'] == 'assistant' %}|ENDOFTEXT|{% else %}{{ '\n' }}{% endif %}"
    "{% if message['role'] == 'user' and not loop.last %}<0x04>{% endif %}"
    "{% endfor %}"
)


def _build_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer to which image tokens are words: it puts a blank before them, which the processor takes off."""
    marks = {"bos": "<s>", "eos": "|ENDOFTEXT|", "pad": "|ENDOFTEXT|"}
    plain = json.loads(build_tokenizer(SPECIALS, **marks, begins=True).backend_tokenizer.to_str())
    plain["added_tokens"] = [token for token in plain["added_tokens"] if token["content"] not in (IMAGE, NEW_LINE)]
    # words of the vocabulary are taken whole
    plain["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(plain))
    tokenizer.normalizer = Prepend(" ")
    tokenizer.pre_tokenizer = Sequence(
        [Split(Regex(WORDS), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, padding_side="left", **{f"{name}_token": mark for name, mark in marks.items()}
    )


def build_fuyu(folder: Path) -> None:
    """Rows of patches, each with an end, and a decoder with normalized keys whose positions turn half a head."""
    tokenizer = _build_tokenizer()
    text = {name: value for name, value in DECODER.items() if name != "num_key_value_heads"}
    config = FuyuConfig(
        text_config=PersimmonConfig(
            **text,
            **token_ids(tokenizer),
            rope_parameters={"rope_type": "default", "rope_theta": 25000.0, "partial_rotary_factor": 0.5},
        ),
        image_size=4 * PATCH,
        patch_size=PATCH,
        image_token_id=tokenizer.convert_tokens_to_ids("|SPEAKER|"),
    )
    processor = FuyuProcessor(
        image_processor=FuyuImageProcessor(
            size={"height": 4 * PATCH, "width": 6 * PATCH}, patch_size={"height": PATCH, "width": PATCH}
        ),
        tokenizer=tokenizer,
    )
    write_checkpoint(folder, FuyuForCausalLM, config, processor, "|ENDOFTEXT|")


FAMILIES = {
    "fuyu": Family(
        build_fuyu,
        "fuyu",
        decoder="model.language_model",
        projector="model.vision_embed_tokens",
        end="|ENDOFTEXT|",
        chat_template=TEMPLATE,
        appends="a mark that begins answers",
        one_image="its processor writes one image before each text",
        blank_begins=True,
    )
}
