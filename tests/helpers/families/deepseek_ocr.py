"""DeepSeek-OCR 2 and Unlimited-OCR: SAM before a second tower, tiles and the whole image, experts."""

from pathlib import Path
from typing import Any

from transformers import (
    DeepseekOcr2Config,
    DeepseekOcr2ForConditionalGeneration,
    DeepseekOcr2ImageProcessor,
    DeepseekOcr2Processor,
    UnlimitedOcrConfig,
    UnlimitedOcrForConditionalGeneration,
    UnlimitedOcrImageProcessor,
    UnlimitedOcrProcessor,
)

from tests.helpers.families.family import DECODER, TOWER, TOWER_WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

BEGIN, END = "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>"
SPECIALS = [BEGIN, END, "<\uff5c\u2581pad\u2581\uff5c>", "<image>", "<|User|>", "<|Assistant|>"]
TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|User|>: ' if message['role'] == 'user' else '<|Assistant|>: ' if message['role'] == 'assistant' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{{ eos_token if message['role'] == 'assistant' else '\n\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|>:{% endif %}"
)
# half a tower wide, since both want their images fine-grained
SAM = {
    "hidden_size": TOWER_WIDTH // 2,
    "output_channels": TOWER_WIDTH // 2,
    "downsample_channels": [TOWER_WIDTH // 2, TOWER_WIDTH],
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "mlp_dim": TOWER_WIDTH,
    "window_size": 14,
    "global_attn_indexes": [1],
}


def _tokenizer() -> Any:
    return build_tokenizer(SPECIALS, bos=BEGIN, eos=END, pad="<\uff5c\u2581pad\u2581\uff5c>", image_token="<image>")


def _decoder(tokenizer: Any) -> dict[str, Any]:
    """DeepSeek's decoder: a dense layer, then one with two of four experts a token beside a shared one."""
    return {
        **DECODER,
        **token_ids(tokenizer),
        "max_position_embeddings": 4096,
        "mlp_layer_types": ["dense", "sparse"],
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
        "moe_intermediate_size": 32,
    }


def build_deepseek_ocr2(folder: Path) -> None:
    """144 queries a tile and 256 for the whole image, as fixed as in the real one, read by a decoder as tower."""
    # patches of 2 pixels, so that images of this size have as many as the queries want
    side, tile, patch = 128, 96, 2
    tokenizer = _tokenizer()
    config = DeepseekOcr2Config(
        vision_config={
            "sam_config": {**SAM, "image_size": side, "patch_size": patch},
            "encoder_config": {**TOWER, "num_key_value_heads": 1},
        },
        text_config=_decoder(tokenizer),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = DeepseekOcr2Processor(
        image_processor=DeepseekOcr2ImageProcessor(size={"height": side, "width": side}, tile_size=tile),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
        patch_size=patch,
    )
    write_checkpoint(folder, DeepseekOcr2ForConditionalGeneration, config, processor, END)


def build_unlimited_ocr(folder: Path) -> None:
    """CLIP's layers behind SAM, a mark after each row, and a window over what the decoder writes."""
    side, tile, patch = 64, 48, 4
    tokenizer = _tokenizer()
    config = UnlimitedOcrConfig(
        vision_config={
            "sam_config": {**SAM, "image_size": side, "patch_size": patch},
            "encoder_config": {**TOWER, "image_size": side, "patch_size": 4 * patch},
        },
        # wider than the tests' answers: a forward of question and answer looks through no window
        text_config=_decoder(tokenizer) | {"sliding_window": 32},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = UnlimitedOcrProcessor(
        image_processor=UnlimitedOcrImageProcessor(size={"height": side, "width": side}, tile_size=tile, max_patches=6),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
        patch_size=patch,
    )
    write_checkpoint(folder, UnlimitedOcrForConditionalGeneration, config, processor, END)


_PARTS: dict[str, Any] = {
    "decoder": "model.language_model",
    "tower": "model.vision_tower",
    "projector": "model.multi_modal_projector",
    "end": END,
}
FAMILIES = {
    "deepseek-ocr-2": Family(build_deepseek_ocr2, "deepseek_ocr2", **_PARTS),
    "unlimited-ocr": Family(build_unlimited_ocr, "unlimited_ocr", **_PARTS),
}
