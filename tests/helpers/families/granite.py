"""Granite 4 Vision and Granite Docling: features of several depths of the tower, added at several layers."""

from pathlib import Path
from typing import Any

from transformers import (
    Blip2QFormerConfig,
    Granite4VisionConfig,
    Granite4VisionForConditionalGeneration,
    Granite4VisionProcessor,
    Granite4VisionTextConfig,
    GraniteDoclingConfig,
    GraniteDoclingForConditionalGeneration,
    GraniteDoclingImageProcessor,
    GraniteDoclingProcessor,
    GraniteDoclingTextConfig,
    GraniteDoclingVisionConfig,
    LlavaNextImageProcessor,
    SiglipVisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

END = "<|end_of_text|>"
SPECIALS = [
    END,
    "<|pad|>",
    "<|start_of_role|>",
    "<|end_of_role|>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in (1, 2, 3, 4) for column in (1, 2, 3, 4)),
]
SIDE, PATCH = 56, 14
SQUARE = {"height": SIDE, "width": SIDE}
TILES = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
# Granite's four factors; the real ones are made for a decoder sixty times as wide
FACTORS = {
    "embedding_multiplier": 4.0,
    "logits_scaling": 2.0,
    "residual_multiplier": 0.5,
    "attention_multiplier": 0.2,
}


def turns(image: str) -> str:
    """A chat template with that mark for an image."""
    return (
        "{% for message in messages %}<|start_of_role|>{{ message['role'] }}<|end_of_role|>"
        "{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}{{ '" + image + "' }}{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}{{ '<|end_of_text|>\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"
    )


def granite_tokenizer() -> Any:
    """A tokenizer with the marks of Granite's turns and images."""
    return build_tokenizer(SPECIALS, bos=END, eos=END, pad="<|pad|>")


def build_granite4_vision(folder: Path) -> None:
    """LLaVA-NeXT's tiles; two depths of the tower and four samples of its last layer, each for a layer of its own."""
    tokenizer = granite_tokenizer()
    config = Granite4VisionConfig(
        # its resampler has a head for every 64 numbers
        vision_config=SiglipVisionConfig(
            **TOWER | {"hidden_size": 64}, image_size=SIDE, patch_size=PATCH, vision_use_head=False
        ),
        text_config=Granite4VisionTextConfig(
            **DECODER | {"num_hidden_layers": 6, "intermediate_size": 32},
            **token_ids(tokenizer),
            **FACTORS,
        ),
        qformer_config=Blip2QFormerConfig(
            num_hidden_layers=1,
            intermediate_size=32,
            cross_attention_frequency=1,
            use_qformer_text_input=False,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        image_grid_pinpoints=TILES,
        downsample_rate="1/2",
        deepstack_layer_map=[[-2, 1], [-1, 0]],
        spatial_target_layers=[2, 3, 4, 5],
        # the real one's are 0.1, with which no two training steps are alike
        projector_dropout=0.0,
        tie_word_embeddings=True,
    )
    processor = Granite4VisionProcessor(
        image_processor=LlavaNextImageProcessor(
            size={"shortest_edge": SIDE}, crop_size=SQUARE, image_grid_pinpoints=TILES
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        downsample_rate="1/2",
        chat_template=turns("<image>\n"),
    )
    write_checkpoint(folder, Granite4VisionForConditionalGeneration, config, processor, END)


def build_granite_docling(folder: Path) -> None:
    """Tiles with their places before them; a finer way of reading them that is there and not taken."""
    tokenizer = granite_tokenizer()
    config = GraniteDoclingConfig(
        vision_config=GraniteDoclingVisionConfig(
            **TOWER,
            image_size=SIDE,
            patch_size=PATCH,
            out_hidden_size=WIDTH,
            scale_factor=2,
            deepstack_visual_indexes=[0, 1],
        ),
        text_config=GraniteDoclingTextConfig(**DECODER | {"num_hidden_layers": 3}, **token_ids(tokenizer), **FACTORS),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        density_router_hidden_size=16,
    )
    processor = GraniteDoclingProcessor(
        image_processor=GraniteDoclingImageProcessor(size=SQUARE, max_patches=4),
        tokenizer=tokenizer,
        image_seq_len=(SIDE // PATCH // 2) ** 2,
        chat_template=turns("<image>"),
    )
    write_checkpoint(folder, GraniteDoclingForConditionalGeneration, config, processor, END)


FAMILIES = {
    "granite-4-vision": Family(
        build_granite4_vision,
        "granite4_vision",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.layerwise_projectors",
        end=END,
    ),
    "granite-docling": Family(
        build_granite_docling,
        "granite_docling",
        decoder="model.text_model",
        tower="model.vision_model",
        projector="model.vision_model.connector",
        end=END,
    ),
}
