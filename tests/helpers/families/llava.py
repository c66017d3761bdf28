"""LLaVA-1.5, LLaVA-NeXT and LLaVA-OneVision."""

from pathlib import Path
from typing import Any

from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    LlavaProcessor,
    MistralConfig,
    Qwen2Config,
    SiglipVisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.templates import LLAVA, LLAVA_NEXT, LLAVA_ONEVISION
from tests.helpers.families.tokens import build_tokenizer

PATCH, SIDE = 14, 42
PATCHES = (SIDE // PATCH) ** 2
SQUARE = {"height": SIDE, "width": SIDE}
TILES = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE], [3 * SIDE, SIDE], [SIDE, 3 * SIDE]]
MANY_TILES = [[rows * SIDE, columns * SIDE] for rows in (1, 2, 3) for columns in (1, 2, 3)]


def llava_processor(tokenizer: Any, template: str) -> LlavaProcessor:
    """CLIP's images without their class token."""
    return LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SQUARE),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )


def build_llava(folder: Path) -> None:
    """CLIP and Llama; the second last layer of the tower without its class token, and 9 image tokens."""
    tokenizer = build_tokenizer(
        ["<unk>", "<s>", "</s>", "<image>", "<pad>"], bos="<s>", eos="</s>", pad="<pad>", begins=True
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH),
        # as many rows as divide by 64, more than there are tokens
        text_config=LlamaConfig(**DECODER, **token_ids(tokenizer) | {"vocab_size": -(-len(tokenizer) // 64) * 64}),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=PATCHES,
    )
    processor = llava_processor(tokenizer, LLAVA)
    write_checkpoint(folder, LlavaForConditionalGeneration, config, processor, "</s>")


def build_llava_next(folder: Path) -> None:
    """CLIP and Mistral; tiles by the picture's shape, with a mark at the end of each row."""
    tokenizer = build_tokenizer(
        ["<unk>", "<s>", "</s>", "<image>", "<pad>"], bos="<s>", eos="</s>", pad="<pad>", begins=True
    )
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH),
        text_config=MistralConfig(**DECODER, **token_ids(tokenizer), head_dim=16, sliding_window=None),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=TILES,
        image_seq_length=PATCHES,
    )
    processor = LlavaNextProcessor(
        image_processor=LlavaNextImageProcessor(
            size={"shortest_edge": SIDE}, crop_size=SQUARE, image_grid_pinpoints=TILES
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_NEXT,
    )
    write_checkpoint(folder, LlavaNextForConditionalGeneration, config, processor, "</s>")


def build_llava_onevision(folder: Path) -> None:
    """SigLIP and Qwen2; up to nine tiles, shrunk to the room of four."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"]
    tokenizer = build_tokenizer(specials, eos="<|im_end|>", pad="<|endoftext|>")
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH, vision_use_head=False),
        text_config=Qwen2Config(**DECODER, **token_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=MANY_TILES,
        vision_aspect_ratio="anyres_max_4",
        tie_word_embeddings=True,
    )
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=SQUARE, image_grid_pinpoints=MANY_TILES),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size=SQUARE),
        num_image_tokens=PATCHES,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_4",
        chat_template=LLAVA_ONEVISION,
    )
    write_checkpoint(folder, LlavaOnevisionForConditionalGeneration, config, processor, "<|im_end|>")


_PARTS: dict[str, Any] = {
    "decoder": "model.language_model",
    "tower": "model.vision_tower",
    "projector": "model.multi_modal_projector",
}
FAMILIES = {
    "llava-1.5": Family(build_llava, "llava", **_PARTS, end="</s>", closes=False),
    "llava-next": Family(build_llava_next, "llava_next", **_PARTS, end="</s>"),
    "llava-onevision": Family(build_llava_onevision, "llava_onevision", **_PARTS, end="<|im_end|>"),
}
