"""Muse Glimmer and Muse Spark: windows with positions, full layers without, and logits that are capped."""

from pathlib import Path
from typing import Any

from transformers import (
    MuseGlimmerConfig,
    MuseGlimmerForConditionalGeneration,
    MuseGlimmerImageProcessor,
    MuseGlimmerProcessor,
    MuseGlimmerTextConfig,
    MuseGlimmerVideoProcessor,
    MuseGlimmerVisionConfig,
    MuseSparkAudioConfig,
    MuseSparkConfig,
    MuseSparkFeatureExtractor,
    MuseSparkForConditionalGeneration,
    MuseSparkProcessor,
    MuseSparkTextConfig,
    MuseSparkVisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, TOWER_WIDTH, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|finetune_right_pad|>",
    "<|header_start|>",
    "<|header_end|>",
    "<|eot|>",
    "<|patch|>",
    "<|image_start|>",
    "<|image_end|>",
    "<|video|>",
    "<|vid_frame_separator|>",
    "<|vid_start|>",
    "<|vid_end|>",
    "<|audio|>",
    "<|soft_audio_start|>",
    "<|soft_audio_end|>",
]
# an image becomes at most so many tokens of 2 x 2 patches of 14
IMAGE_TOKENS = 16
# three layers that see a window shorter than any prompt, and a full one
LAYERS: dict[str, Any] = {"head_dim": 16, "sliding_window": 12, "num_hidden_layers": 4, "qk_scale_factor": 1.5}
# a block that sees windows, and one that sees all
VISION = {**TOWER, "pos_emb_height": 8, "pos_emb_width": 8, "max_position_embeddings": 64}

# the turns of Llama 4, whose tokenizer they share
TEMPLATE = (
    "<|begin_of_text|>{% for message in messages %}"
    "<|header_start|>{{ message['role'] }}<|header_end|>{{ '\n\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|patch|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|eot|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|header_start|>assistant<|header_end|>\n\n' }}{% endif %}"
)


def muse_tokenizer() -> Any:
    """A tokenizer with the marks of turns, images, films and sounds."""
    return build_tokenizer(
        SPECIALS, bos="<|begin_of_text|>", eos="<|end_of_text|>", pad="<|finetune_right_pad|>", begins=True
    )


def common_parts(tokenizer: Any) -> dict[str, Any]:
    """Tokens of images and films, and the widths of what lies between tower and decoder."""
    return {
        "image_token_id": tokenizer.convert_tokens_to_ids("<|patch|>"),
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video|>"),
        "out_hidden_size": 4 * TOWER_WIDTH,
        "projector_hidden_size": WIDTH,
    }


def build_glimmer(folder: Path) -> None:
    """Queries and keys of unit length, and gates behind attention."""
    tokenizer = muse_tokenizer()
    config = MuseGlimmerConfig(
        vision_config=MuseGlimmerVisionConfig(**VISION),
        text_config=MuseGlimmerTextConfig(**DECODER | LAYERS, **token_ids(tokenizer), output_multiplier=0.5),
        **common_parts(tokenizer),
    )
    processor = MuseGlimmerProcessor(
        image_processor=MuseGlimmerImageProcessor(max_image_tokens=IMAGE_TOKENS),
        video_processor=MuseGlimmerVideoProcessor(),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, MuseGlimmerForConditionalGeneration, config, processor, "<|eot|>")


def build_spark(folder: Path) -> None:
    """The same with four narrow experts, of which a token takes two, and a tower for sounds."""
    tokenizer = muse_tokenizer()
    config = MuseSparkConfig(
        vision_config=MuseSparkVisionConfig(**VISION),
        text_config=MuseSparkTextConfig(
            **DECODER | LAYERS,
            **token_ids(tokenizer),
            output_multiplier=0.5,
            moe_hidden_size=WIDTH // 2,
            moe_intermediate_size=32,
            num_local_experts=4,
            num_experts_per_tok=2,
            mlp_layer_types=["dense", "sparse", "sparse", "sparse"],
        ),
        audio_config=MuseSparkAudioConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], out_hidden_size=WIDTH),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio|>"),
        **common_parts(tokenizer),
    )
    processor = MuseSparkProcessor(
        image_processor=MuseGlimmerImageProcessor(max_image_tokens=IMAGE_TOKENS),
        video_processor=MuseGlimmerVideoProcessor(),
        tokenizer=tokenizer,
        feature_extractor=MuseSparkFeatureExtractor(),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, MuseSparkForConditionalGeneration, config, processor, "<|eot|>")


FAMILIES = {
    name: Family(
        build,
        model_type,
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.vision_projection",
        end="<|eot|>",
    )
    for name, model_type, build in (
        ("muse-glimmer", "muse_glimmer", build_glimmer),
        ("muse-spark", "muse_spark", build_spark),
    )
}
