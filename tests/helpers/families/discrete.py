"""Chameleon and Emu 3: images are tokens of the vocabulary, looked up in a code book."""

from pathlib import Path
from typing import Any

from transformers import (
    ChameleonConfig,
    ChameleonForConditionalGeneration,
    ChameleonImageProcessor,
    ChameleonProcessor,
    Emu3Config,
    Emu3ForConditionalGeneration,
    Emu3ImageProcessor,
    Emu3Processor,
)

from tests.helpers.families.family import DECODER, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

CODES = 16
LETTERS = "ABCDEFGHIJ"
# two steps that halve each side; normalization wants 32 channels
CODE_BOOK = {"base_channels": 32, "channel_multiplier": [1, 1, 1], "num_res_blocks": 1, "latent_channels": 8}

# the processor ends every prompt with the separator that also follows each earlier turn of the user
CHAMELEON = (
    "{% for message in messages %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{% if message['role'] == 'assistant' %}</s>{% elif not loop.last %}<reserved08706>{% endif %}"
    "{% endfor %}"
)
EMU = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'] | upper + ': ' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{{ '<|extra_204|>' if message['role'] == 'assistant' else '\n' if message['role'] == 'system' else ' ' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def build_chameleon(folder: Path) -> None:
    """16 codes an image, whose tokens get no logits."""
    side = 16
    # digits are spelled as letters
    codes = ["IMGIMG" + "".join(LETTERS[int(digit)] for digit in str(code)) + "Z" for code in range(CODES)]
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<racm3:break>", "<eoss>", "<reserved08706>", "<image>"]
    tokenizer = build_tokenizer(
        [*specials, *codes],
        bos="<s>",
        eos="</s>",
        pad="<pad>",
        begins=True,
        sep_token="<reserved08706>",
        image_token="<image>",
        boi_token="<racm3:break>",
        eoi_token="<eoss>",
    )
    config = ChameleonConfig(
        **DECODER,
        **token_ids(tokenizer),
        vq_config={**CODE_BOOK, "embed_dim": 8, "num_embeddings": CODES, "resolution": side},
        vocabulary_map={token: tokenizer.convert_tokens_to_ids(token) for token in [*specials, *codes]},
    )
    processor = ChameleonProcessor(
        image_processor=ChameleonImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        ),
        tokenizer=tokenizer,
        image_seq_length=(side // 4) ** 2,
    )
    write_checkpoint(folder, ChameleonForConditionalGeneration, config, processor, "</s>")


def build_emu3(folder: Path) -> None:
    """Rows of codes, each with an end, after the image's size in words."""
    codes = [f"<|visual token {code:06d}|>" for code in range(CODES)]
    marks: dict[str, Any] = {
        "image_token": "<image>",
        "boi_token": "<|image start|>",
        "eoi_token": "<|image end|>",
        "image_wrapper_token": "<|image token|>",
        "eof_token": "<|extra_201|>",
    }
    specials = ["<|extra_203|>", "<|extra_204|>", "<|endoftext|>", "<|extra_200|>", *marks.values()]
    tokenizer = build_tokenizer(
        [*specials, *codes], bos="<|extra_203|>", eos="<|extra_204|>", pad="<|endoftext|>", **marks
    )
    config = Emu3Config(
        vq_config={
            **CODE_BOOK,
            # three steps: the processor counts one code a square of 8 pixels
            "channel_multiplier": [1, 1, 1, 1],
            "attn_resolutions": [3],
            "embed_dim": 8,
            "codebook_size": CODES,
            "hidden_size": 32,
        },
        text_config={**DECODER, **token_ids(tokenizer), "attention_dropout": 0.0},
        vocabulary_map={token: tokenizer.convert_tokens_to_ids(token) for token in [*specials, *codes]},
    )
    processor = Emu3Processor(
        image_processor=Emu3ImageProcessor(min_pixels=24**2, max_pixels=48**2),
        tokenizer=tokenizer,
        chat_template=EMU,
    )
    write_checkpoint(folder, Emu3ForConditionalGeneration, config, processor, "<|extra_204|>")


FAMILIES = {
    "chameleon": Family(
        build_chameleon,
        "chameleon",
        tower="model.vqmodel",
        end="</s>",
        chat_template=CHAMELEON,
        appends="a separator",
    ),
    "emu-3": Family(build_emu3, "emu3", decoder="model.text_model", tower="model.vqmodel", end="<|extra_204|>"),
}
