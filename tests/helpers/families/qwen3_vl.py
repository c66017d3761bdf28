"""Qwen3-VL, dense and with experts: the tower's inner layers reach the decoder's first layers (deepstack)."""

from pathlib import Path
from typing import Any

from transformers import (
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from tests.helpers.families.family import DECODER, TOWER_HEADS, TOWER_WIDTH, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.qwen import PARTS, SPECIALS, named_tokens
from tests.helpers.families.tokens import build_tokenizer

# one token stands for so many pixels on a side: two patches of 16
MERGED = 32
PIXELS = {"shortest_edge": 4 * MERGED**2, "longest_edge": 16 * MERGED**2}

# ChatML without a system turn of its own, each image between its marks
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def vision_tower(depth: int, **more: Any) -> dict[str, Any]:
    """Options of the tower: patches of 16 with learned positions, which are stretched to the image's grid."""
    return {
        "depth": depth,
        "hidden_size": TOWER_WIDTH,
        "intermediate_size": 2 * TOWER_WIDTH,
        "num_heads": TOWER_HEADS,
        "out_hidden_size": WIDTH,
        "num_position_embeddings": 64,
        **more,
    }


def build_processor(tokenizer: Any, template: str) -> Qwen3VLProcessor:
    """Images of 4 to 16 tokens."""
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            size=PIXELS, patch_size=16, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]
        ),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(size=PIXELS),
        chat_template=template,
    )


def _build(folder: Path, configuration: type[Any], kind: type[Any], **decoder: Any) -> None:
    tokenizer = build_tokenizer(SPECIALS, eos="<|im_end|>", pad="<|endoftext|>")
    config = configuration(
        vision_config=vision_tower(3, deepstack_visual_indexes=[0, 1]),
        text_config={
            **DECODER,
            **token_ids(tokenizer),
            "num_hidden_layers": 3,
            "head_dim": 16,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5e6,
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
            **decoder,
        },
        tie_word_embeddings=False,
        **named_tokens(tokenizer),
    )
    processor = build_processor(tokenizer, TEMPLATE)
    write_checkpoint(folder, kind, config, processor, "<|im_end|>", stops=["<|endoftext|>"])


def build_qwen3_vl(folder: Path) -> None:
    """Two layers of the tower are added to the outputs of the decoder's first two layers."""
    _build(folder, Qwen3VLConfig, Qwen3VLForConditionalGeneration)


def build_qwen3_vl_moe(folder: Path) -> None:
    """The same, with four experts a layer, two of which a token visits."""
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    _build(folder, Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration, **experts)


FAMILIES = {
    "qwen3-vl": Family(build_qwen3_vl, "qwen3_vl", **PARTS),
    "qwen3-vl-moe": Family(build_qwen3_vl_moe, "qwen3_vl_moe", **PARTS),
}
