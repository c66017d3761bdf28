"""PP-Chart2Table: GOT-OCR's model, and a template that writes all tokens of an image itself."""

from pathlib import Path

from transformers import (
    GotOcr2ForConditionalGeneration,
    PPChart2TableConfig,
    PPChart2TableImageProcessor,
    PPChart2TableProcessor,
    Qwen2Config,
)

from tests.helpers.families.family import DECODER, TOWER_HEADS, TOWER_WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SIDE, PATCH = 64, 4
# two convolutions halve the grid of patches
TOKENS = (SIDE // PATCH // 4) ** 2
TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nFollow the instructions.<|im_end|>' }}{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    f"{{% if part['type'] == 'image' %}}{{{{ '<img>' + '<imgpad>' * {TOKENS} + '</img>\n' }}}}"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_pp_chart2table(folder: Path) -> None:
    """SAM's tower, a layer with windows and one without, two strided convolutions, and Qwen2."""
    tokenizer = build_tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<imgpad>"],
        eos="<|im_end|>",
        pad="<|endoftext|>",
    )
    config = PPChart2TableConfig(
        vision_config={
            "hidden_size": TOWER_WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": TOWER_HEADS,
            "mlp_dim": 2 * TOWER_WIDTH,
            "output_channels": TOWER_WIDTH,
            "image_size": SIDE,
            "patch_size": PATCH,
            "window_size": 6,
            "global_attn_indexes": [1],
        },
        text_config=Qwen2Config(**DECODER, **token_ids(tokenizer), tie_word_embeddings=True),
        image_token_index=tokenizer.convert_tokens_to_ids("<imgpad>"),
        image_seq_length=TOKENS,
    )
    processor = PPChart2TableProcessor(
        image_processor=PPChart2TableImageProcessor(size={"height": SIDE, "width": SIDE}),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, GotOcr2ForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "pp-chart2table": Family(
        build_pp_chart2table,
        "pp_chart2table",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<|im_end|>",
        flat_images=True,
    )
}
