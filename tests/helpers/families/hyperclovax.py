"""HyperCLOVA X Vision: Qwen2.5-VL's tower before a decoder with norms behind its layers and scaled sums."""

from pathlib import Path

from transformers import (
    HyperCLOVAXConfig,
    HyperCLOVAXVisionV2Config,
    HyperCLOVAXVisionV2ForConditionalGeneration,
    HyperCLOVAXVisionV2Processor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from tests.helpers.families.family import DECODER, TOWER_HEADS, TOWER_WIDTH, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<think>",
    "</think>",
    "<|mime_start|>",
    "<|mime_end|>",
    "<|image_start|>",
    "<|image_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
# one token stands for so many pixels on a side: two patches of 14
MERGED = 28
PIXELS = {"shortest_edge": 4 * MERGED**2, "longest_edge": 16 * MERGED**2}

# each image is introduced by a note with its number; the last answer begins with thoughts, empty ones unless
# asked for, and those before it without any
TEMPLATE = (
    "{% set silence = '<think>\n\n</think>\n\n' %}"
    "{% set images = namespace(count=0) %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' and loop.last %}{{ silence }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}"
    '<|mime_start|>{"id": "image_{{ images.count }}"}<|mime_end|>{{ "\n" }}'
    "{% set images.count = images.count + 1 %}"
    "{{ '<|image_start|><|image_pad|><|image_end|>\n' }}"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{{ '<think>\n' if thinking is defined and thinking else silence }}"
    "{% endif %}"
)


def build_hyperclovax(folder: Path) -> None:
    """Windows of 2 x 2 tokens in the tower's first block, all of the image in the second."""
    tokenizer = build_tokenizer(SPECIALS, eos="<|im_end|>", pad="<|endoftext|>")
    config = HyperCLOVAXVisionV2Config(
        vision_config={
            "model_type": "qwen2_5_vl_vision",
            "depth": 2,
            "hidden_size": TOWER_WIDTH,
            "intermediate_size": 2 * TOWER_WIDTH,
            "num_heads": TOWER_HEADS,
            "out_hidden_size": WIDTH,
            "window_size": 2 * MERGED,
            "fullatt_block_indexes": [1],
        },
        text_config=HyperCLOVAXConfig(
            **DECODER,
            **token_ids(tokenizer),
            embedding_multiplier=4.0,
            logits_scaling=0.5,
            residual_multiplier=0.7,
            attention_multiplier=0.2,
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        tie_word_embeddings=False,
    )
    processor = HyperCLOVAXVisionV2Processor(
        image_processor=Qwen2VLImageProcessor(size=PIXELS),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=PIXELS),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, HyperCLOVAXVisionV2ForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "hyperclovax-vision": Family(
        build_hyperclovax,
        "hyperclovax_vision_v2",
        decoder="model.language_model",
        tower="model.vision_model",
        projector="model.projector",
        end="<|im_end|>",
        thoughts="<think>\n\n</think>\n\n",
    )
}
