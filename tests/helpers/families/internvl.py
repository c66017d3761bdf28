"""InternVL in the form that transformers reads: tiles in one run of tokens."""

from pathlib import Path

from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    InternVLVisionConfig,
    Qwen2Config,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.templates import INTERNVL
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
SIDE, PATCH = 56, 14
TILE_TOKENS = (SIDE // PATCH) ** 2 // 4


def build_internvl(folder: Path) -> None:
    """A tower of its own and Qwen2; up to four tiles of 4 tokens, and the whole picture where there are several."""
    tokenizer = build_tokenizer(
        SPECIALS,
        eos="<|im_end|>",
        pad="<|endoftext|>",
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    square = {"height": SIDE, "width": SIDE}
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH),
        text_config=Qwen2Config(**DECODER, **token_ids(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=TILE_TOKENS,
    )
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=square, crop_to_patches=True, max_patches=4),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=square),
        image_seq_length=TILE_TOKENS,
        chat_template=INTERNVL,
    )
    write_checkpoint(folder, InternVLForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "internvl": Family(
        build_internvl,
        "internvl",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<|im_end|>",
    )
}
