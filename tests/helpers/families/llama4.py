"""Llama 4: layers without positions between layers that see a chunk, experts, and tiles with marks between them."""

from pathlib import Path

from transformers import (
    Llama4Config,
    Llama4ForConditionalGeneration,
    Llama4ImageProcessor,
    Llama4Processor,
    Llama4TextConfig,
    Llama4VisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|finetune_right_pad|>",
    "<|header_start|>",
    "<|header_end|>",
    "<|eom|>",
    "<|eot|>",
    "<|image_start|>",
    "<|image_end|>",
    "<|tile_x_separator|>",
    "<|tile_y_separator|>",
    "<|image|>",
    "<|patch|>",
]
SIDE, PATCH = 56, 14
# shorter than any prompt
CHUNK = 16

TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}{{ '<|header_start|>' + message['role'] + '<|header_end|>\n\n' }}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|image|>{% else %}{{ part['text'] | trim }}{% endif %}"
    "{% endfor %}{% endif %}<|eot|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|header_start|>assistant<|header_end|>\n\n' }}{% endif %}"
)


def build_llama4(folder: Path) -> None:
    """A dense layer with positions in chunks, and one without positions in which a token visits one of four experts."""
    tokenizer = build_tokenizer(
        SPECIALS, bos="<|begin_of_text|>", eos="<|eot|>", pad="<|finetune_right_pad|>", begins=True
    )
    tower = TOWER["hidden_size"]
    config = Llama4Config(
        vision_config=Llama4VisionConfig(
            # the adapter's input: what a square of four patches is wide
            **TOWER | {"intermediate_size": 4 * tower},
            image_size=SIDE,
            patch_size=PATCH,
            projector_input_dim=WIDTH,
            projector_output_dim=WIDTH,
            vision_output_dim=WIDTH,
        ),
        text_config=Llama4TextConfig(
            **DECODER,
            **token_ids(tokenizer),
            head_dim=16,
            intermediate_size_mlp=2 * WIDTH,
            no_rope_layers=[1, 0],
            moe_layers=[1],
            num_local_experts=4,
            attention_chunk_size=CHUNK,
        ),
        boi_token_index=tokenizer.convert_tokens_to_ids("<|image_start|>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<|image_end|>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<|patch|>"),
    )
    processor = Llama4Processor(
        image_processor=Llama4ImageProcessor(size={"height": SIDE, "width": SIDE}, max_patches=4),
        tokenizer=tokenizer,
        patch_size=PATCH,
        chat_template=TEMPLATE,
    )
    stops = ["<|end_of_text|>", "<|eom|>"]
    write_checkpoint(folder, Llama4ForConditionalGeneration, config, processor, "<|eot|>", stops=stops)


FAMILIES = {
    "llama-4": Family(
        build_llama4,
        "llama4",
        decoder="language_model",
        tower="vision_model",
        projector="multi_modal_projector",
        end="<|eot|>",
    ),
}
