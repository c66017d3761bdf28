"""LFM2-VL: layers of short convolutions, and images that are kept whole or cut by their size."""

from pathlib import Path

from transformers import (
    Lfm2Config,
    Lfm2VlConfig,
    Lfm2VlForConditionalGeneration,
    Lfm2VlImageProcessor,
    Lfm2VlProcessor,
    Siglip2VisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "<|pad|>",
    "<|startoftext|>",
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<image>",
    "<|image_start|>",
    "<|image_end|>",
    "<|img_thumbnail|>",
    *(f"<|img_row_{row}_col_{column}|>" for row in range(1, 5) for column in range(1, 5)),
]
# a tile of 4 x 4 patches makes 4 tokens
PATCH, TILE = 16, 64

TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_lfm2_vl(folder: Path) -> None:
    """Convolutions in the first and last layer, attention between; a large image in two to four tiles and whole."""
    tokenizer = build_tokenizer(SPECIALS, bos="<|startoftext|>", eos="<|im_end|>", pad="<|pad|>", begins=True)
    config = Lfm2VlConfig(
        vision_config=Siglip2VisionConfig(
            **TOWER, patch_size=PATCH, num_patches=(TILE // PATCH) ** 2, vision_use_head=False
        ),
        text_config=Lfm2Config(
            **DECODER | {"num_hidden_layers": 3},
            **token_ids(tokenizer),
            layer_types=["conv", "full_attention", "conv"],
            block_auto_adjust_ff_dim=False,
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        projector_hidden_size=WIDTH,
        tie_word_embeddings=True,
    )
    processor = Lfm2VlProcessor(
        image_processor=Lfm2VlImageProcessor(
            encoder_patch_size=PATCH,
            tile_size=TILE,
            max_tiles=4,
            min_image_tokens=2,
            max_image_tokens=4,
            max_pixels_tolerance=1.5,
        ),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, Lfm2VlForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "lfm2-vl": Family(
        build_lfm2_vl,
        "lfm2_vl",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<|im_end|>",
    ),
}
