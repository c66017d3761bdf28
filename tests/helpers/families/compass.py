"""Cohere's North Vision: a tower whose inner layers are added to the decoder's first, which sees windows."""

from pathlib import Path

from transformers import (
    CohereCompassConfig,
    CohereCompassForConditionalGeneration,
    CohereCompassImageProcessor,
    CohereCompassProcessor,
    CohereCompassTextConfig,
    CohereCompassVideoProcessor,
    CohereCompassVisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER_HEADS, TOWER_WIDTH, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

NAMED = {
    "image": "<|IMAGE_PAD|>",
    "video": "<|VIDEO_PAD|>",
    "vision_start": "<|VISION_START|>",
    "vision_end": "<|VISION_END|>",
}
SPECIALS = [
    "<PAD>",
    "<BOS_TOKEN>",
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
    "<|SYSTEM_TOKEN|>",
    "<|START_TEXT|>",
    "<|END_TEXT|>",
    *NAMED.values(),
]
# one token stands for so many pixels on a side: two patches of 16
MERGED = 32
PIXELS = {"shortest_edge": 4 * 2 * MERGED**2, "longest_edge": 16 * 2 * MERGED**2}
# shorter than any prompt
WINDOW = 12

TEMPLATE = (
    "<BOS_TOKEN>{% for message in messages %}<|START_OF_TURN_TOKEN|>"
    "{% set answer = message['role'] == 'assistant' %}"
    "{{ {'user': '<|USER_TOKEN|>', 'system': '<|SYSTEM_TOKEN|>', 'assistant': '<|CHATBOT_TOKEN|>'}"
    "[message['role']] }}"
    "{% if answer %}<|START_TEXT|>{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|VISION_START|><|IMAGE_PAD|><|VISION_END|>"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{% if answer %}<|END_TEXT|>{% endif %}<|END_OF_TURN_TOKEN|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_TEXT|>{% endif %}"
)


def build_compass(folder: Path) -> None:
    """Sliding layers with positions of three axes, a full layer without any; two depths of the tower added."""
    tokenizer = build_tokenizer(SPECIALS, bos="<BOS_TOKEN>", eos="<|END_OF_TURN_TOKEN|>", pad="<PAD>", begins=True)
    config = CohereCompassConfig(
        vision_config=CohereCompassVisionConfig(
            depth=3,
            hidden_size=TOWER_WIDTH,
            intermediate_size=2 * TOWER_WIDTH,
            num_heads=TOWER_HEADS,
            out_hidden_size=WIDTH,
            num_position_embeddings=16,
            deepstack_visual_indexes=[0, 1],
        ),
        text_config=CohereCompassTextConfig(
            **DECODER | {"num_hidden_layers": 3},
            **token_ids(tokenizer),
            logit_scale=0.25,
            sliding_window=WINDOW,
            layer_types=["sliding_attention", "sliding_attention", "full_attention"],
            rope_parameters={
                "sliding_attention": {"rope_type": "default", "rope_theta": 5e4, "mrope_section": [4, 2, 2]},
                "full_attention": None,
            },
        ),
        tie_word_embeddings=True,
        **{f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in NAMED.items()},
    )
    processor = CohereCompassProcessor(
        image_processor=CohereCompassImageProcessor(size=PIXELS, patch_size=16),
        tokenizer=tokenizer,
        video_processor=CohereCompassVideoProcessor(size=PIXELS, patch_size=16),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, CohereCompassForConditionalGeneration, config, processor, "<|END_TEXT|>")


FAMILIES = {
    "north-vision": Family(
        build_compass,
        "cohere_compass",
        decoder="model.language_model",
        tower="model.visual",
        projector="model.visual.merger",
        end="<|END_TEXT|>",
    )
}
