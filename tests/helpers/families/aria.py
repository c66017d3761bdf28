"""Aria: a mixture of experts, and queries that read the tower."""

from pathlib import Path

from transformers import (
    AriaConfig,
    AriaForConditionalGeneration,
    AriaImageProcessor,
    AriaProcessor,
    AriaTextConfig,
    Idefics3VisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = ["<unk>", "<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>", "<fim_prefix>", "<|img|>", "<fim_suffix>"]
# the image processor knows two sides, 490 and 980, and uses the larger: 14 x 14 patches here
SIDE, PATCH, QUERIES = 980, 70, 8
# marks around an image; the assistant's turn is opened without a new line before it
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<fim_prefix><|img|><fim_suffix>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_aria(folder: Path) -> None:
    """Idefics 3's tower, 8 queries an image, and two of four experts a token beside a shared one."""
    tokenizer = build_tokenizer(SPECIALS, bos="<s>", eos="<|im_end|>", pad="<pad>", image_token="<|img|>")
    config = AriaConfig(
        vision_config=Idefics3VisionConfig(**TOWER | {"hidden_size": 16}, image_size=SIDE, patch_size=PATCH),
        text_config=AriaTextConfig(
            **DECODER | {"intermediate_size": 32},
            **token_ids(tokenizer),
            moe_num_experts=4,
            moe_topk=2,
            moe_num_shared_experts=1,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<|img|>"),
        projector_patch_to_query_dict={(SIDE // PATCH) ** 2: QUERIES},
    )
    processor = AriaProcessor(
        image_processor=AriaImageProcessor(max_image_size=SIDE),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
        size_conversion={SIDE: QUERIES},
    )
    write_checkpoint(folder, AriaForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "aria": Family(
        build_aria,
        "aria",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<|im_end|>",
    )
}
