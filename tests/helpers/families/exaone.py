"""EXAONE 4.5: layers that see a window, full layers without positions, and norms behind them."""

from pathlib import Path

from transformers import (
    Exaone4_5_Config,
    Exaone4_5_ForConditionalGeneration,
    Exaone4_5_Processor,
    Exaone4_5_VisionConfig,
    Exaone4Config,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from tests.helpers.families.family import DECODER, TOWER_HEADS, TOWER_WIDTH, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "[PAD]",
    "[BOS]",
    "[|endofturn|]",
    "[|system|]",
    "[|user|]",
    "[|assistant|]",
    "<think>",
    "</think>",
    "<vision>",
    "</vision>",
    "<|image_pad|>",
    "<|video_pad|>",
]
# one token stands for so many pixels on a side: two patches of 14
MERGED = 28
PIXELS = {"shortest_edge": 4 * MERGED**2, "longest_edge": 16 * MERGED**2}
# shorter than any prompt
WINDOW = 12

# empty thoughts before each answer, unless thinking is asked for
TEMPLATE = (
    "{% set silence = '<think>\n\n</think>\n\n' %}"
    "{% for message in messages %}[|{{ message['role'] }}|]"
    "{{ silence if message['role'] == 'assistant' else '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<vision><|image_pad|></vision>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '[|endofturn|]\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}[|assistant|]"
    "{{ '<think>\n' if enable_thinking is defined and enable_thinking else silence }}"
    "{% endif %}"
)


def build_exaone(folder: Path) -> None:
    """A tower with windows of 2 x 2 tokens in its first block and all of the image in its second."""
    tokenizer = build_tokenizer(SPECIALS, bos="[BOS]", eos="[|endofturn|]", pad="[PAD]")
    config = Exaone4_5_Config(
        vision_config=Exaone4_5_VisionConfig(
            depth=2,
            hidden_size=TOWER_WIDTH,
            intermediate_size=2 * TOWER_WIDTH,
            num_heads=TOWER_HEADS,
            num_key_value_heads=1,
            out_hidden_size=WIDTH,
            window_size=2 * MERGED,
            fullatt_block_indexes=[1],
        ),
        text_config=Exaone4Config(
            **DECODER,
            **token_ids(tokenizer),
            sliding_window=WINDOW,
            layer_types=["sliding_attention", "full_attention"],
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
    )
    processor = Exaone4_5_Processor(
        image_processor=Qwen2VLImageProcessor(size=PIXELS),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=PIXELS),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, Exaone4_5_ForConditionalGeneration, config, processor, "[|endofturn|]")


FAMILIES = {
    "exaone-4.5": Family(
        build_exaone,
        "exaone4_5",
        decoder="model.language_model",
        tower="model.visual",
        projector="model.visual.merger",
        end="[|endofturn|]",
    )
}
