"""Qianfan-OCR: tiles as in InternVL, and a placeholder in the template that is no token of the image."""

from pathlib import Path

from transformers import (
    GotOcr2ImageProcessor,
    QianfanOCRConfig,
    QianfanOCRForConditionalGeneration,
    QianfanOCRProcessor,
    QianfanOCRVisionConfig,
    Qwen3Config,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>"]
SIDE, PATCH = 56, 14
TILE_TOKENS = (SIDE // PATCH) ** 2 // 4
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_qianfan_ocr(folder: Path) -> None:
    """InternVL's tower and Qwen3; up to four tiles of 4 tokens, and the whole image where there are several."""
    tokenizer = build_tokenizer(
        SPECIALS,
        eos="<|im_end|>",
        pad="<|endoftext|>",
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
    )
    config = QianfanOCRConfig(
        vision_config=QianfanOCRVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH, drop_path_rate=0.0),
        text_config=Qwen3Config(**DECODER, **token_ids(tokenizer), head_dim=16),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=TILE_TOKENS,
    )
    processor = QianfanOCRProcessor(
        image_processor=GotOcr2ImageProcessor(
            size={"height": SIDE, "width": SIDE}, crop_to_patches=True, max_patches=4
        ),
        tokenizer=tokenizer,
        image_seq_length=TILE_TOKENS,
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, QianfanOCRForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "qianfan-ocr": Family(
        build_qianfan_ocr,
        "qianfan_ocr",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<|im_end|>",
    )
}
