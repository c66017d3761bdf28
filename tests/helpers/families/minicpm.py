"""MiniCPM-V 4.6 and 4.7 and MiniCPM-OCR: slices of an image of any shape, before the decoder of Qwen3.5."""

from pathlib import Path
from typing import Any

from transformers import (
    MiniCPMOcrConfig,
    MiniCPMOcrForConditionalGeneration,
    MiniCPMOcrImageProcessor,
    MiniCPMOcrProcessor,
    MiniCPMOcrVideoProcessor,
    MiniCPMV4_6Config,
    MiniCPMV4_6ForConditionalGeneration,
    MiniCPMV4_6ImageProcessor,
    MiniCPMV4_6Processor,
    MiniCPMV4_6VideoProcessor,
    MiniCPMV4_7Config,
    MiniCPMV4_7ForConditionalGeneration,
    MiniCPMV4_7Processor,
    Qwen3_5TextConfig,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.qwen3_5 import LINEAR, ROPE
from tests.helpers.families.qwen3_5 import TEMPLATE as THINKING
from tests.helpers.families.tokens import build_tokenizer

NAMED: dict[str, Any] = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "image_start_token": "<image>",
    "image_end_token": "</image>",
    "slice_start_token": "<slice>",
    "slice_end_token": "</slice>",
    "image_id_start_token": "<image_id>",
    "image_id_end_token": "</image_id>",
}
# four tokens a slice of 8 x 8 patches where both mergers are used
PATCH, SIDE = 8, 64
SLICES = {"patch_size": PATCH, "scale_resolution": SIDE, "max_slice_nums": 4}
TEMPLATE = THINKING.replace("<|vision_start|><|image_pad|><|vision_end|>", "<|image_pad|>")


def _tokenizer() -> Any:
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *NAMED.values()]
    tokenizer = build_tokenizer(specials, eos="<|im_end|>", pad="<|endoftext|>", **NAMED)
    tokenizer.add_tokens(["<think>", "</think>"])
    return tokenizer


def _options(tokenizer: Any) -> dict[str, Any]:
    """Options of all three configurations: a merger of 2 x 2 patches within the tower, and one behind it."""
    return {
        "vision_config": {**TOWER, "image_size": SIDE, "patch_size": PATCH},
        "text_config": Qwen3_5TextConfig(
            **DECODER,
            **token_ids(tokenizer),
            **LINEAR,
            layer_types=["linear_attention", "full_attention"],
            head_dim=32,
            rope_parameters=ROPE,
        ),
        "insert_layer_id": 0,
        "image_token_id": tokenizer.image_token_id,
        "video_token_id": tokenizer.video_token_id,
    }


def _write(folder: Path, kind: type[Any], config: Any, processor: Any) -> None:
    write_checkpoint(folder, kind, config, processor, "<|im_end|>", stops=["<|endoftext|>"])


def build_minicpmv4_6(folder: Path) -> None:
    """A sixteenth of the patches become tokens; each image has a number, and rows of slices a new line between."""
    tokenizer = _tokenizer()
    processor = MiniCPMV4_6Processor(
        image_processor=MiniCPMV4_6ImageProcessor(**SLICES),
        video_processor=MiniCPMV4_6VideoProcessor(**SLICES),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    config = MiniCPMV4_6Config(**_options(tokenizer), image_size=SIDE)
    _write(folder, MiniCPMV4_6ForConditionalGeneration, config, processor)


def build_minicpmv4_7(folder: Path) -> None:
    """The same with positions on the canvas of all slices, for the marks around them, too."""
    tokenizer = _tokenizer()
    processor = MiniCPMV4_7Processor(
        image_processor=MiniCPMV4_6ImageProcessor(**SLICES),
        video_processor=MiniCPMV4_6VideoProcessor(**SLICES),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    config = MiniCPMV4_7Config(
        **_options(tokenizer),
        image_size=SIDE,
        image_start_id=tokenizer.image_start_token_id,
        image_end_id=tokenizer.image_end_token_id,
        slice_start_id=tokenizer.slice_start_token_id,
        slice_end_id=tokenizer.slice_end_token_id,
        # the letter that stands for the new line's byte
        newline_id=tokenizer.convert_tokens_to_ids("\u010a"),
    )
    _write(folder, MiniCPMV4_7ForConditionalGeneration, config, processor)


def build_minicpm_ocr(folder: Path) -> None:
    """A quarter of the patches become tokens, and small images are enlarged; a tied head."""
    tokenizer = _tokenizer()
    processor = MiniCPMOcrProcessor(
        image_processor=MiniCPMOcrImageProcessor(**SLICES),
        video_processor=MiniCPMOcrVideoProcessor(**SLICES),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    config = MiniCPMOcrConfig(**_options(tokenizer))
    _write(folder, MiniCPMOcrForConditionalGeneration, config, processor)


_PARTS: dict[str, Any] = {
    "decoder": "model.language_model",
    "tower": "model.vision_tower",
    "projector": "model.merger",
    "end": "<|im_end|>",
    "thoughts": "<think>\n\n</think>\n\n",
}
FAMILIES = {
    "minicpm-v-4.6": Family(build_minicpmv4_6, "minicpmv4_6", **_PARTS),
    "minicpm-v-4.7": Family(build_minicpmv4_7, "minicpmv4_7", **_PARTS),
    "minicpm-ocr": Family(build_minicpm_ocr, "minicpm_ocr", **_PARTS),
}
