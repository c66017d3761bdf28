"""Kosmos-2 and -2.5: queries that read the tower, at the places that a mask tells, before the text."""

from pathlib import Path
from typing import Any

from transformers import (
    CLIPImageProcessor,
    Kosmos2_5Config,
    Kosmos2_5ForConditionalGeneration,
    Kosmos2_5ImageProcessor,
    Kosmos2_5Processor,
    Kosmos2Config,
    Kosmos2ForConditionalGeneration,
    Kosmos2Processor,
)

from tests.helpers.families.family import HEADS, LAYERS, TOWER, TOWER_WIDTH, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SIDE, PATCH = 42, 14
# the processor writes this many, whatever the configuration says
QUERIES = 64
TEMPLATE = (
    "{% for message in messages %}"
    "{{ 'Question: ' if message['role'] == 'user' else ' ' if message['role'] == 'assistant' }}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ '</s>' if message['role'] == 'assistant' else ' Answer:' if message['role'] == 'user' else '\n' }}"
    "{% endfor %}"
)


def _text_config(tokenizer: Any) -> dict[str, Any]:
    return {
        **token_ids(tokenizer),
        "embed_dim": WIDTH,
        "ffn_dim": 2 * WIDTH,
        "layers": LAYERS,
        "attention_heads": HEADS,
        "max_position_embeddings": 512,
        # would make training random
        "dropout": 0.0,
        "attention_dropout": 0.0,
    }


def build_kosmos2(folder: Path) -> None:
    """CLIP, queries, and a decoder with fixed positions."""
    # as the real one's: the first tokens behind <unk> stand for the image
    tokenizer = build_tokenizer(
        ["<s>", "<pad>", "</s>", "<unk>"], bos="<s>", eos="</s>", pad="<pad>", unk_token="<unk>"
    )
    processor = Kosmos2Processor(
        CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        tokenizer,
        num_patch_index_tokens=4,
    )
    config = Kosmos2Config(
        vision_config={**TOWER, "image_size": SIDE, "patch_size": PATCH},
        text_config=_text_config(tokenizer),
        latent_query_num=QUERIES,
        # the real one's are tied: with random weights every token would predict itself
        tie_word_embeddings=False,
    )
    write_checkpoint(folder, Kosmos2ForConditionalGeneration, config, processor, "</s>")


def build_kosmos25(folder: Path) -> None:
    """Pix2Struct's tower, 8 queries, and the decoder of Kosmos-2; the token of an image is that of a beginning."""
    tokenizer = build_tokenizer(
        ["<s>", "<pad>", "</s>", "<unk>", "<image>", "</image>", "<md>", "<ocr>"],
        bos="<s>",
        eos="</s>",
        pad="<pad>",
        boi_token="<image>",
        eoi_token="</image>",
        image_token="<s>",
    )
    config = Kosmos2_5Config(
        vision_config={
            "hidden_size": TOWER_WIDTH // 2,
            # numbers of a patch
            "patch_embed_hidden_size": 3 * 4**2,
            "intermediate_size": TOWER_WIDTH,
            "head_dim": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            # the processor scales every image to as many patches as this
            "max_num_patches": 4096,
        },
        text_config=_text_config(tokenizer),
        latent_query_num=8,
        # as above
        tie_word_embeddings=False,
    )
    processor = Kosmos2_5Processor(
        Kosmos2_5ImageProcessor(patch_size={"height": 4, "width": 4}), tokenizer, num_image_tokens=8
    )
    write_checkpoint(folder, Kosmos2_5ForConditionalGeneration, config, processor, "</s>")


_PARTS: dict[str, Any] = {
    "decoder": "text_model",
    "tower": "vision_model",
    "projector": "image_to_text_projection",
    "end": "</s>",
    "chat_template": TEMPLATE,
    "one_image": "its processor writes one image before each text",
}
FAMILIES = {
    "kosmos-2": Family(build_kosmos2, "kosmos-2", **_PARTS, needs_image="its forward runs the tower on every call"),
    "kosmos-2.5": Family(build_kosmos25, "kosmos-2.5", **_PARTS),
}
