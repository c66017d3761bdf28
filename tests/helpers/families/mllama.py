"""Llama 3.2 Vision (Mllama): images are seen through layers of cross-attention and stand for one token each."""

from pathlib import Path

from transformers import MllamaConfig, MllamaForConditionalGeneration, MllamaImageProcessor, MllamaProcessor
from transformers.models.mllama.configuration_mllama import MllamaTextConfig, MllamaVisionConfig

from tests.helpers.families.family import DECODER, TOWER_HEADS, TOWER_WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|finetune_right_pad_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
]
SIDE, PATCH = 56, 14

# a system turn of its own, but only where there is no image
TEMPLATE = (
    "{{ bos_token }}"
    "{% set seen = namespace(image=false) %}"
    "{% for message in messages if message['content'] is not string %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{% set seen.image = true %}{% endfor %}{% endfor %}"
    "{% if not seen.image and messages[0]['role'] != 'system' %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\nYour knowledge ends in 2023.<|eot_id|>' }}{% endif %}"
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|image|>{% else %}{{ part['text'] | trim }}{% endif %}"
    "{% endfor %}{% endif %}<|eot_id|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def build_mllama(folder: Path) -> None:
    """One layer of cross-attention between two of self-attention; up to four tiles, encoded alone and together."""
    tokenizer = build_tokenizer(
        SPECIALS, bos="<|begin_of_text|>", eos="<|eot_id|>", pad="<|finetune_right_pad_id|>", begins=True
    )
    # the last token of all: it has an embedding and no logit
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|image|>"]})
    image = tokenizer.convert_tokens_to_ids("<|image|>")
    config = MllamaConfig(
        vision_config=MllamaVisionConfig(
            hidden_size=TOWER_WIDTH,
            intermediate_size=2 * TOWER_WIDTH,
            num_hidden_layers=2,
            num_global_layers=1,
            attention_heads=TOWER_HEADS,
            image_size=SIDE,
            patch_size=PATCH,
            intermediate_layers_indices=[0, 1],
            # the last layer's output and those two
            vision_output_dim=3 * TOWER_WIDTH,
        ),
        text_config=MllamaTextConfig(
            **DECODER | {"num_hidden_layers": 3},
            **token_ids(tokenizer) | {"vocab_size": image},
            cross_attention_layers=[1],
        ),
        image_token_index=image,
    )
    processor = MllamaProcessor(
        image_processor=MllamaImageProcessor(size={"height": SIDE, "width": SIDE}, max_image_tiles=4),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    stops = ["<|end_of_text|>", "<|eom_id|>"]
    write_checkpoint(folder, MllamaForConditionalGeneration, config, processor, "<|eot_id|>", stops=stops)


FAMILIES = {
    "mllama": Family(
        build_mllama,
        "mllama",
        decoder="model.language_model",
        tower="model.vision_model",
        projector="model.multi_modal_projector",
        end="<|eot_id|>",
    ),
}
