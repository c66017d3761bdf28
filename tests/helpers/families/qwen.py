"""Qwen2-VL and Qwen2.5-VL: pictures of any size, on a grid of three axes."""

from pathlib import Path
from typing import Any

from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

from tests.helpers.families.family import (
    DECODER,
    HEADS,
    TOWER_HEADS,
    TOWER_WIDTH,
    WIDTH,
    Family,
    token_ids,
    write_checkpoint,
)
from tests.helpers.families.templates import QWEN
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
# one token stands for so many pixels on a side: two patches of 14
MERGED = 28
PIXELS = {"shortest_edge": 4 * MERGED**2, "longest_edge": 16 * MERGED**2}


def named_tokens(tokenizer: Any) -> dict[str, int]:
    """Ids of the vision tokens, as the family's configurations name them."""
    words = {
        "image": "image_pad",
        "video": "video_pad",
        "vision_start": "vision_start",
        "vision_end": "vision_end",
    }
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{word}|>") for name, word in words.items()}


def _write(folder: Path, kind: type[Any], config: Any, processor: type[Any], tokenizer: Any) -> None:
    whole = processor(
        image_processor=Qwen2VLImageProcessor(size=PIXELS),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=PIXELS),
        chat_template=QWEN,
    )
    write_checkpoint(folder, kind, config, whole, "<|im_end|>")


def _decoder(tokenizer: Any, heads: int = HEADS) -> dict[str, Any]:
    # of half a head's numbers: a quarter for time, the rest for height and width alike
    section = [share * WIDTH // heads // 16 for share in (2, 3, 3)]
    return {
        **DECODER,
        **token_ids(tokenizer),
        "num_attention_heads": heads,
        "num_key_value_heads": heads // 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": section},
    }


def build_qwen2_vl(folder: Path) -> None:
    """All of the picture in both of the tower's blocks."""
    tokenizer = build_tokenizer(SPECIALS, eos="<|im_end|>", pad="<|endoftext|>")
    config = Qwen2VLConfig(
        vision_config={
            "depth": 2,
            "embed_dim": TOWER_WIDTH,
            "hidden_size": WIDTH,
            "mlp_ratio": 2,
            "num_heads": TOWER_HEADS,
        },
        text_config=_decoder(tokenizer),
        tie_word_embeddings=True,
        **named_tokens(tokenizer),
    )
    _write(folder, Qwen2VLForConditionalGeneration, config, Qwen2VLProcessor, tokenizer)


def build_qwen(folder: Path, heads: int = HEADS) -> None:
    """Windows of 2 x 2 tokens in the tower's first block, all of the picture in the second.

    Args:
        folder: where the checkpoint goes.
        heads: attention heads of the decoder, of which half have keys of their own.
    """
    tokenizer = build_tokenizer(SPECIALS, eos="<|im_end|>", pad="<|endoftext|>")
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": TOWER_WIDTH,
            "intermediate_size": 2 * TOWER_WIDTH,
            "num_heads": TOWER_HEADS,
            "out_hidden_size": WIDTH,
            "window_size": 2 * MERGED,
            "fullatt_block_indexes": [1],
        },
        text_config=_decoder(tokenizer, heads),
        tie_word_embeddings=True,
        **named_tokens(tokenizer),
    )
    _write(folder, Qwen2_5_VLForConditionalGeneration, config, Qwen2_5_VLProcessor, tokenizer)


PARTS: dict[str, Any] = {
    "decoder": "model.language_model",
    "tower": "model.visual",
    "projector": "model.visual.merger",
    "end": "<|im_end|>",
}
FAMILIES = {
    "qwen2-vl": Family(build_qwen2_vl, "qwen2_vl", **PARTS),
    "qwen2.5-vl": Family(build_qwen, "qwen2_5_vl", **PARTS),
}
