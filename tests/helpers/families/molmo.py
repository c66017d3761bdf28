"""Molmo 2: image features that are added to embeddings, image tokens that see each other and have no logits."""

from pathlib import Path

from transformers import (
    Molmo2Config,
    Molmo2ForConditionalGeneration,
    Molmo2ImageProcessor,
    Molmo2Processor,
    Molmo2VideoProcessor,
)

from tests.helpers.families.family import (
    DECODER,
    TOWER,
    TOWER_HEADS,
    TOWER_WIDTH,
    WIDTH,
    Family,
    write_checkpoint,
)
from tests.helpers.families.tokens import build_tokenizer

SIDE, PATCH = 56, 14
HEAD = {"num_attention_heads": TOWER_HEADS, "num_key_value_heads": TOWER_HEADS, "head_dim": TOWER_WIDTH // TOWER_HEADS}
# behind the decoder's vocabulary: it reads them and cannot write them
MARKS = {
    "image_start_token_id": "<im_start>",
    "image_end_token_id": "<im_end>",
    "image_patch_id": "<im_patch>",
    "low_res_image_start_token_id": "<low_res_im_start>",
    "frame_start_token_id": "<frame_start>",
    "frame_end_token_id": "<frame_end>",
}
MORE_MARKS = ["<im_col>", "<im_low>", "<|image|>", "<|video|>"]
# images before the text, wherever they stand in the message
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}<|image|>{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_molmo2(folder: Path) -> None:
    """Two layers of the tower pooled by attention, the whole image and overlapping crops, and Qwen3."""
    tokenizer = build_tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], bos="<|endoftext|>", eos="<|im_end|>", pad="<|endoftext|>"
    )
    vocabulary = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": [*MARKS.values(), *MORE_MARKS]})
    config = Molmo2Config(
        vision_config={
            **TOWER,
            **HEAD,
            "num_hidden_layers": 3,
            "image_size": [SIDE, SIDE],
            "patch_size": PATCH,
        },
        adapter_config={
            **HEAD,
            "hidden_size": TOWER_WIDTH,
            "intermediate_size": WIDTH,
            "text_hidden_size": WIDTH,
            "vision_feature_layer": [2, 0],
        },
        text_config={
            **DECODER,
            "head_dim": 16,
            "vocab_size": vocabulary,
            "additional_vocab_size": len(tokenizer) - vocabulary,
        },
        **{name: tokenizer.convert_tokens_to_ids(token) for name, token in MARKS.items()},
    )
    size = {"height": SIDE, "width": SIDE}
    processor = Molmo2Processor(
        # each crop shares a row of patches with each of its neighbours
        image_processor=Molmo2ImageProcessor(size=size, patch_size=PATCH, max_crops=4, overlap_margins=[1, 1]),
        video_processor=Molmo2VideoProcessor(size=size, patch_size=PATCH),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, Molmo2ForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "molmo-2": Family(
        build_molmo2,
        "molmo2",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<|im_end|>",
    )
}
