"""The thinkers of Qwen2.5-Omni and Qwen3-Omni: models of images, sounds and texts that write texts."""

from pathlib import Path
from typing import Any

from transformers import (
    Qwen2_5OmniProcessor,
    Qwen2_5OmniThinkerForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3OmniMoeProcessor,
    Qwen3OmniMoeThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniThinkerConfig
from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeThinkerConfig

from tests.helpers.families.family import DECODER, TOWER_HEADS, TOWER_WIDTH, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.qwen import MERGED, PARTS, PIXELS
from tests.helpers.families.qwen3_vl import PIXELS as PIXELS_3
from tests.helpers.families.qwen3_vl import TEMPLATE as TEMPLATE_3
from tests.helpers.families.qwen3_vl import vision_tower
from tests.helpers.families.templates import QWEN
from tests.helpers.families.tokens import build_tokenizer

TURNS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
NAMED: dict[str, Any] = {
    "image_token": "<|IMAGE|>",
    "audio_token": "<|AUDIO|>",
    "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}
NAMED_3: dict[str, Any] = {
    "image_token": "<|image_pad|>",
    "audio_token": "<|audio_pad|>",
    "video_token": "<|video_pad|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
    "audio_bos_token": "<|audio_start|>",
    "audio_eos_token": "<|audio_end|>",
}
MELS = 16
AUDIO = {
    "num_mel_bins": MELS,
    "encoder_layers": 1,
    "encoder_attention_heads": TOWER_HEADS,
    "encoder_ffn_dim": 2 * TOWER_WIDTH,
    "d_model": TOWER_WIDTH,
    "output_dim": WIDTH,
}
TEMPLATE = QWEN.replace("<|vision_start|><|image_pad|><|vision_end|>", "<|vision_bos|><|IMAGE|><|vision_eos|>")


def build_qwen2_5_omni_thinker(folder: Path) -> None:
    """Qwen2.5-VL with an audio tower, which no image uses."""
    tokenizer = build_tokenizer([*TURNS, *NAMED.values()], eos="<|im_end|>", pad="<|endoftext|>", **NAMED)
    config = Qwen2_5OmniThinkerConfig(
        audio_config=AUDIO,
        vision_config={
            "depth": 2,
            "hidden_size": TOWER_WIDTH,
            "intermediate_size": 2 * TOWER_WIDTH,
            "num_heads": TOWER_HEADS,
            "out_hidden_size": WIDTH,
            "window_size": 2 * MERGED,
            "fullatt_block_indexes": [1],
        },
        text_config={
            **DECODER,
            **token_ids(tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
        },
        audio_token_index=tokenizer.audio_token_id,
        image_token_index=tokenizer.image_token_id,
        video_token_index=tokenizer.video_token_id,
        audio_start_token_id=tokenizer.audio_bos_token_id,
        audio_end_token_id=tokenizer.audio_eos_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id,
        vision_end_token_id=tokenizer.vision_eos_token_id,
    )
    processor = Qwen2_5OmniProcessor(
        image_processor=Qwen2VLImageProcessor(size=PIXELS),
        video_processor=Qwen2VLVideoProcessor(size=PIXELS),
        feature_extractor=WhisperFeatureExtractor(feature_size=MELS),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    kind = Qwen2_5OmniThinkerForConditionalGeneration
    write_checkpoint(folder, kind, config, processor, "<|im_end|>", stops=["<|endoftext|>"])


def build_qwen3_omni_moe_thinker(folder: Path) -> None:
    """Qwen3-VL with four experts a layer and an audio tower, which no image uses."""
    tokenizer = build_tokenizer([*TURNS, *NAMED_3.values()], eos="<|im_end|>", pad="<|endoftext|>", **NAMED_3)
    rope: dict[str, Any] = {
        "rope_type": "default",
        "rope_theta": 1e6,
        "mrope_section": [4, 2, 2],
        "mrope_interleaved": True,
    }
    config = Qwen3OmniMoeThinkerConfig(
        audio_config={**AUDIO, "downsample_hidden_size": 8},
        vision_config=vision_tower(3, deepstack_visual_indexes=[0, 1]),
        text_config={
            **DECODER,
            **token_ids(tokenizer),
            "num_hidden_layers": 3,
            "head_dim": 16,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "rope_parameters": rope,
        },
        audio_token_id=tokenizer.audio_token_id,
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        audio_start_token_id=tokenizer.audio_bos_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id,
    )
    processor = Qwen3OmniMoeProcessor(
        image_processor=Qwen2VLImageProcessor(size=PIXELS_3, patch_size=16),
        video_processor=Qwen2VLVideoProcessor(size=PIXELS_3, patch_size=16),
        feature_extractor=WhisperFeatureExtractor(feature_size=MELS),
        tokenizer=tokenizer,
        chat_template=TEMPLATE_3,
    )
    kind = Qwen3OmniMoeThinkerForConditionalGeneration
    write_checkpoint(folder, kind, config, processor, "<|im_end|>", stops=["<|endoftext|>"])


FAMILIES = {
    "qwen2.5-omni": Family(build_qwen2_5_omni_thinker, "qwen2_5_omni_thinker", **PARTS),
    "qwen3-omni": Family(build_qwen3_omni_moe_thinker, "qwen3_omni_moe_thinker", **PARTS),
}
