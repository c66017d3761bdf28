"""Cosmos 3: Edge with a decoder of its own, and the larger ones with Qwen3-VL's parts."""

from pathlib import Path
from typing import Any

from transformers import (
    Cosmos3EdgeConfig,
    Cosmos3EdgeForConditionalGeneration,
    Cosmos3EdgeImageProcessor,
    Cosmos3EdgeProcessor,
    Cosmos3EdgeTextConfig,
    Cosmos3EdgeVideoProcessor,
    Cosmos3EdgeVisionConfig,
    Cosmos3OmniConfig,
    Cosmos3OmniForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from tests.helpers.families.family import (
    DECODER,
    TOWER,
    TOWER_HEADS,
    TOWER_WIDTH,
    WIDTH,
    Family,
    token_ids,
    write_checkpoint,
)
from tests.helpers.families.tokens import build_tokenizer

NAMED = {
    "image": "<|image_pad|>",
    "video": "<|video_pad|>",
    "vision_start": "<|vision_start|>",
    "vision_end": "<|vision_end|>",
}
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *NAMED.values()]
# one token stands for so many pixels on a side: two patches of 16
PATCH, MERGED = 16, 32
# the third axis has as many pairs of a head's numbers as the second
ROPE = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 3, 3]}

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def cosmos_tokenizer() -> Any:
    """A tokenizer with the marks of turns and images."""
    return build_tokenizer(SPECIALS, eos="<|im_end|>", pad="<|endoftext|>")


def named_ids(tokenizer: Any) -> dict[str, int]:
    """The ids of the marks around images, as the configurations ask for them."""
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in NAMED.items()}


def build_edge(folder: Path) -> None:
    """A squared ReLU, no gate; positions of three axes."""
    tokenizer = cosmos_tokenizer()
    pixels = {"shortest_edge": 4 * MERGED**2, "longest_edge": 16 * MERGED**2}
    config = Cosmos3EdgeConfig(
        vision_config=Cosmos3EdgeVisionConfig(**TOWER, patch_size=PATCH, num_patches=16),
        text_config=Cosmos3EdgeTextConfig(**DECODER, **token_ids(tokenizer), head_dim=16, rope_parameters=ROPE),
        projector_hidden_size=WIDTH,
        **named_ids(tokenizer),
    )
    processor = Cosmos3EdgeProcessor(
        image_processor=Cosmos3EdgeImageProcessor(size=pixels),
        tokenizer=tokenizer,
        video_processor=Cosmos3EdgeVideoProcessor(),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, Cosmos3EdgeForConditionalGeneration, config, processor, "<|im_end|>")


def build_omni(folder: Path) -> None:
    """Inner layers of the tower are added to the decoder's first two."""
    tokenizer = cosmos_tokenizer()
    pixels = {"shortest_edge": 4 * MERGED**2, "longest_edge": 16 * MERGED**2}
    config = Cosmos3OmniConfig(
        vision_config={
            "model_type": "qwen3_vl_vision",
            "depth": 3,
            "hidden_size": TOWER_WIDTH,
            "intermediate_size": 2 * TOWER_WIDTH,
            "num_heads": TOWER_HEADS,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0, 1],
        },
        text_config={
            "model_type": "qwen3_vl_text",
            **DECODER | {"num_hidden_layers": 3},
            **token_ids(tokenizer),
            "head_dim": 16,
            "rope_parameters": ROPE | {"mrope_interleaved": True},
        },
        **named_ids(tokenizer),
    )
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=pixels, patch_size=PATCH),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, Cosmos3OmniForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "cosmos-3-edge": Family(
        build_edge,
        "cosmos3_edge",
        decoder="model.language_model",
        tower="model.visual",
        projector="model.projector",
        end="<|im_end|>",
    ),
    "cosmos-3-omni": Family(
        build_omni,
        "cosmos3_omni",
        decoder="model.language_model",
        tower="model.visual",
        projector="model.visual.merger",
        end="<|im_end|>",
    ),
}
