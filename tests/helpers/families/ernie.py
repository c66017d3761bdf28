"""ERNIE 4.5 VL: experts for texts and others for images, which a token's kind chooses."""

from pathlib import Path
from typing import Any

from transformers import (
    Ernie4_5_VLMoeConfig,
    Ernie4_5_VLMoeForConditionalGeneration,
    Ernie4_5_VLMoeImageProcessor,
    Ernie4_5_VLMoeProcessor,
    Ernie4_5_VLMoeVideoProcessor,
)

from tests.helpers.families.family import DECODER, TOWER_HEADS, TOWER_WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

NAMED = {
    "image": "<|IMAGE_PLACEHOLDER|>",
    "image_start": "<|IMAGE_START|>",
    "image_end": "<|IMAGE_END|>",
    "video": "<|VIDEO_PLACEHOLDER|>",
    "video_start": "<|VIDEO_START|>",
    "video_end": "<|VIDEO_END|>",
}
BEGIN, END = "<|begin_of_sentence|>", "<|end_of_sentence|>"
SPECIALS = ["<unk>", "<s>", "</s>", BEGIN, END, "<think>", "</think>", *NAMED.values()]
# one token stands for so many pixels on a side: two patches of 14
MERGED = 28
PIXELS = {"shortest_edge": 4 * MERGED**2, "longest_edge": 16 * MERGED**2}

# images are counted through the conversation
TEMPLATE = (
    BEGIN + "{% set images = namespace(count=0) %}"
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'] | capitalize }}: {% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{% set images.count = images.count + 1 %}"
    "Picture {{ images.count }}:<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{{ '" + END + "' if message['role'] == 'assistant' else '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}"
    "{% elif enable_thinking is defined %}{{ '<think>\n' }}{% endif %}"
    "{% endif %}"
)


def build_ernie(folder: Path) -> None:
    """A dense layer, then two with four experts of each kind, of which a token takes two, and one that all share."""
    named: dict[str, Any] = {f"{name}_token": token for name, token in NAMED.items()}
    tokenizer = build_tokenizer(SPECIALS, bos="<s>", eos="</s>", pad="<unk>", **named)
    config = Ernie4_5_VLMoeConfig(
        vision_config={
            "depth": 2,
            "hidden_size": TOWER_WIDTH,
            "intermediate_size": 2 * TOWER_WIDTH,
            "num_heads": TOWER_HEADS,
        },
        text_config={
            **DECODER,
            **token_ids(tokenizer),
            "moe_intermediate_size": [32, 16],
            "moe_num_experts": 4,
            "moe_k": 2,
            "num_hidden_layers": 3,
            "moe_num_shared_experts": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e5, "mrope_section": [3, 3, 2]},
        },
        tie_word_embeddings=True,
        **{f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in NAMED.items()},
    )
    processor = Ernie4_5_VLMoeProcessor(
        image_processor=Ernie4_5_VLMoeImageProcessor(size=PIXELS),
        tokenizer=tokenizer,
        # with times drawn into the frames it would need a font
        video_processor=Ernie4_5_VLMoeVideoProcessor(size=PIXELS, draw_on_frames=False),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, Ernie4_5_VLMoeForConditionalGeneration, config, processor, END)


FAMILIES = {
    "ernie-4.5-vl-moe": Family(
        build_ernie,
        "ernie4_5_vl_moe",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.resampler_model",
        end=END,
        thoughts="<think>\n\n</think>\n\n",
    )
}
