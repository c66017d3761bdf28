"""Ovis2: each place of the image as a mixture of a table's rows, and marks that take rows of the same table."""

from pathlib import Path

from transformers import (
    Ovis2Config,
    Ovis2ForConditionalGeneration,
    Ovis2ImageProcessor,
    Ovis2Processor,
    Qwen2Config,
)
from transformers.models.ovis2.configuration_ovis2 import Ovis2VisionConfig

from tests.helpers.families.family import DECODER, TOWER, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

INDICATORS = ["<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<IMG_ATOM>", *INDICATORS]
SIDE, PATCH, STRIDE = 56, 14, 2

TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_ovis2(folder: Path) -> None:
    """AIMv2 and Qwen2; up to four tiles, and the whole image where there are several."""
    tokenizer = build_tokenizer(SPECIALS, eos="<|im_end|>", pad="<|endoftext|>")
    config = Ovis2Config(
        vision_config=Ovis2VisionConfig(
            **TOWER, image_size=SIDE, patch_size=PATCH, vocab_size=96, hidden_stride=STRIDE
        ),
        text_config=Qwen2Config(**DECODER, **token_ids(tokenizer), tie_word_embeddings=True),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_ATOM>"),
        visual_indicator_token_ids=tokenizer.convert_tokens_to_ids(INDICATORS),
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
    )
    processor = Ovis2Processor(
        image_processor=Ovis2ImageProcessor(size={"height": SIDE, "width": SIDE}, crop_to_patches=True, max_patches=4),
        tokenizer=tokenizer,
        image_seq_length=(SIDE // PATCH // STRIDE) ** 2,
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, Ovis2ForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "ovis2": Family(
        build_ovis2,
        "ovis2",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.visual_embeddings_table",
        end="<|im_end|>",
    )
}
