"""Models on LLaVA's plan: ViP-LLaVA, LLaVA-NeXT-Video and Video-LLaVA."""

from pathlib import Path
from typing import Any

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextImageProcessor,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaNextVideoProcessor,
    LlavaNextVideoVideoProcessor,
    VideoLlavaConfig,
    VideoLlavaForConditionalGeneration,
    VideoLlavaImageProcessor,
    VideoLlavaProcessor,
    VideoLlavaVideoProcessor,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.llava import PATCH, PATCHES, SIDE, SQUARE, TILES, llava_processor
from tests.helpers.families.templates import LLAVA
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = ["<unk>", "<s>", "</s>", "<image>", "<video>", "<pad>"]
# three marks before a role, nothing after an answer
VIP_LLAVA = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ '###' + ('Human' if message['role'] == 'user' else 'Assistant') + ': ' }}"
    "{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '###Assistant:' }}{% endif %}"
)


def build_vipllava(folder: Path) -> None:
    """CLIP and Llama; the projector reads three layers of the tower, joined and normalized."""
    tokenizer = build_tokenizer(SPECIALS, bos="<s>", eos="</s>", pad="<pad>", begins=True)
    config = VipLlavaConfig(
        vision_config=CLIPVisionConfig(**TOWER | {"num_hidden_layers": 4}, image_size=SIDE, patch_size=PATCH),
        text_config=LlamaConfig(**DECODER, **token_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=[-2, -3, 1],
        image_seq_length=PATCHES,
    )
    processor = llava_processor(tokenizer, VIP_LLAVA)
    write_checkpoint(folder, VipLlavaForConditionalGeneration, config, processor, "</s>")


def build_llava_next_video(folder: Path) -> None:
    """CLIP and Llama; images are tiled as in LLaVA-NeXT, frames of a video are pooled."""
    tokenizer = build_tokenizer(SPECIALS, bos="<s>", eos="</s>", pad="<pad>", begins=True)
    config = LlavaNextVideoConfig(
        vision_config=CLIPVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH),
        text_config=LlamaConfig(**DECODER, **token_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=TILES,
        image_seq_length=PATCHES,
    )
    size = {"size": {"shortest_edge": SIDE}, "crop_size": SQUARE}
    processor = LlavaNextVideoProcessor(
        video_processor=LlavaNextVideoVideoProcessor(**size),
        image_processor=LlavaNextImageProcessor(**size, image_grid_pinpoints=TILES),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA,
    )
    write_checkpoint(folder, LlavaNextVideoForConditionalGeneration, config, processor, "</s>")


def build_video_llava(folder: Path) -> None:
    """A CLIP for images and another for videos, and Llama; images have an input of their own name."""
    tokenizer = build_tokenizer(SPECIALS, bos="<s>", eos="</s>", pad="<pad>", begins=True)
    config = VideoLlavaConfig(
        vision_config=CLIPVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH),
        text_config=LlamaConfig(**DECODER, **token_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_seq_length=PATCHES,
    )
    size = {"size": {"shortest_edge": SIDE}, "crop_size": SQUARE}
    processor = VideoLlavaProcessor(
        image_processor=VideoLlavaImageProcessor(**size),
        video_processor=VideoLlavaVideoProcessor(**size),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA,
    )
    write_checkpoint(folder, VideoLlavaForConditionalGeneration, config, processor, "</s>")


_TOWER: dict[str, Any] = {
    "decoder": "model.language_model",
    "tower": "model.vision_tower",
    "projector": "model.multi_modal_projector",
}
FAMILIES = {
    "vipllava": Family(build_vipllava, "vipllava", **_TOWER, end="</s>", closes=False),
    "llava-next-video": Family(build_llava_next_video, "llava_next_video", **_TOWER, end="</s>", closes=False),
    "video-llava": Family(
        build_video_llava, "video_llava", **_TOWER | {"tower": "model.image_tower"}, end="</s>", closes=False
    ),
}
