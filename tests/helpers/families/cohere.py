"""Aya Vision and Command A Vision: Cohere's decoder, whose layers see a window and whose logits are scaled."""

from pathlib import Path
from typing import Any

from transformers import (
    AyaVisionConfig,
    AyaVisionForConditionalGeneration,
    AyaVisionProcessor,
    Cohere2Config,
    Cohere2VisionConfig,
    Cohere2VisionForConditionalGeneration,
    Cohere2VisionImageProcessor,
    Cohere2VisionProcessor,
    GotOcr2ImageProcessor,
    SiglipVisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "<PAD>",
    "<UNK>",
    "<BOS_TOKEN>",
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
    "<|SYSTEM_TOKEN|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
    "<image>",
    "<|START_OF_IMG|>",
    "<|END_OF_IMG|>",
    "<|IMG_PATCH|>",
    "<|IMG_LINE_BREAK|>",
    "TILE",
    "TILE_GLOBAL",
]
SIDE, PATCH, SHUFFLE = 56, 14, 2
SQUARE = {"height": SIDE, "width": SIDE}
# shorter than any prompt
WINDOW = 12


def turns(image: str) -> str:
    """A chat template with that mark for an image: answers stand between two marks of their own."""
    return (
        "<BOS_TOKEN>{% for message in messages %}<|START_OF_TURN_TOKEN|>"
        "{% set answer = message['role'] == 'assistant' %}"
        "{{ {'user': '<|USER_TOKEN|>', 'system': '<|SYSTEM_TOKEN|>', 'assistant': '<|CHATBOT_TOKEN|>'}"
        "[message['role']] }}"
        "{% if answer %}<|START_RESPONSE|>{% endif %}"
        "{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}" + image + "{% else %}{{ part['text'] | trim }}{% endif %}"
        "{% endfor %}"
        "{% if answer %}<|END_RESPONSE|>{% endif %}<|END_OF_TURN_TOKEN|>"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>{% endif %}"
    )


def cohere_tokenizer(**named: str) -> Any:
    """A tokenizer with the marks of Cohere's turns and images."""
    return build_tokenizer(SPECIALS, bos="<BOS_TOKEN>", eos="<|END_OF_TURN_TOKEN|>", pad="<PAD>", begins=True, **named)


def cohere_decoder(tokenizer: Any) -> Cohere2Config:
    """One sliding layer with rotary positions, and one full layer without any."""
    return Cohere2Config(
        **DECODER,
        **token_ids(tokenizer),
        logit_scale=0.25,
        sliding_window=WINDOW,
        layer_types=["sliding_attention", "full_attention"],
    )


def build_aya_vision(folder: Path) -> None:
    """Tiles counted in words, and the whole image."""
    tokenizer = cohere_tokenizer()
    config = AyaVisionConfig(
        vision_config=SiglipVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH, vision_use_head=False),
        text_config=cohere_decoder(tokenizer),
        downsample_factor=SHUFFLE,
        image_token_index=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
    )
    processor = AyaVisionProcessor(
        image_processor=GotOcr2ImageProcessor(size=SQUARE, crop_to_patches=True, max_patches=4),
        tokenizer=tokenizer,
        patch_size=PATCH,
        img_size=SIDE,
        downsample_factor=SHUFFLE,
        chat_template=turns("<image>"),
    )
    write_checkpoint(folder, AyaVisionForConditionalGeneration, config, processor, "<|END_RESPONSE|>")


def build_cohere2_vision(folder: Path) -> None:
    """Tiles with a line break behind each, and the whole image, through a gated projector."""
    tokenizer = cohere_tokenizer(
        boi_token="<|START_OF_IMG|>",
        eoi_token="<|END_OF_IMG|>",
        image_token="<|IMG_PATCH|>",
        img_line_break_token="<|IMG_LINE_BREAK|>",
    )
    config = Cohere2VisionConfig(
        vision_config=SiglipVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH, vision_use_head=False),
        text_config=cohere_decoder(tokenizer),
        downsample_factor=SHUFFLE,
        image_token_id=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
        alignment_intermediate_size=128,
    )
    processor = Cohere2VisionProcessor(
        # its patch is the number of tokens on the side of a tile
        image_processor=Cohere2VisionImageProcessor(size=SQUARE, patch_size=SIDE // PATCH // SHUFFLE, max_patches=4),
        tokenizer=tokenizer,
        chat_template=turns("<|IMG_PATCH|>"),
    )
    write_checkpoint(folder, Cohere2VisionForConditionalGeneration, config, processor, "<|END_RESPONSE|>")


FAMILIES = {
    name: Family(
        build,
        model_type,
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<|END_RESPONSE|>",
    )
    for name, model_type, build in (
        ("aya-vision", "aya_vision", build_aya_vision),
        ("command-a-vision", "cohere2_vision", build_cohere2_vision),
    )
}
