"""Kimi K2.5: latent attention and experts; the option that turns thinking off has a name of its own."""

from pathlib import Path

from transformers import (
    DeepseekV3Config,
    Kimi_K25Config,
    Kimi_K25ForConditionalGeneration,
    Kimi_K25ImageProcessor,
    Kimi_K25Processor,
    Kimi_K25VideoProcessor,
    Kimi_K25VisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, TOWER_WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "[BOS]",
    "[EOS]",
    "[PAD]",
    "<|im_end|>",
    "<|im_system|>",
    "<|im_user|>",
    "<|im_assistant|>",
    "<|im_middle|>",
    "<think>",
    "</think>",
    "<|media_begin|>",
    "<|media_content|>",
    "<|media_pad|>",
    "<|media_end|>",
    "<|kimi_k25_video_placeholder|>",
]
PATCH, SIDE = 14, 112

# an answer's turn begins with thoughts, empty ones where they are turned off and in what was said before
TEMPLATE = (
    "{% for message in messages %}"
    "<|im_{{ message['role'] }}|>{{ message['role'] }}<|im_middle|>"
    "{% if message['role'] == 'assistant' %}<think></think>{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}"
    "{{ '<|media_begin|>image<|media_content|><|media_pad|><|media_end|>\n' }}"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_assistant|>assistant<|im_middle|>"
    "{% if thinking is defined and not thinking %}<think></think>{% else %}<think>{% endif %}"
    "{% endif %}"
)


def build_kimi(folder: Path) -> None:
    """A dense layer, then one with four experts in two groups, of which each token takes two."""
    tokenizer = build_tokenizer(SPECIALS, bos="[BOS]", eos="[EOS]", pad="[PAD]")
    config = Kimi_K25Config(
        vision_config=Kimi_K25VisionConfig(**TOWER, patch_size=PATCH, pos_emb_height=4, pos_emb_width=4),
        text_config=DeepseekV3Config(
            **DECODER | {"num_key_value_heads": DECODER["num_attention_heads"]},
            **token_ids(tokenizer),
            q_lora_rank=16,
            kv_lora_rank=16,
            qk_rope_head_dim=8,
            qk_nope_head_dim=8,
            v_head_dim=16,
            moe_intermediate_size=32,
            n_routed_experts=4,
            num_experts_per_tok=2,
            n_group=2,
            topk_group=1,
            first_k_dense_replace=1,
            num_mtp_layers=0,
        ),
        projection_hidden_size=TOWER_WIDTH,
        image_token_id=tokenizer.convert_tokens_to_ids("<|media_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|kimi_k25_video_placeholder|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|media_begin|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|media_end|>"),
        tie_word_embeddings=False,
    )
    square = {"max_height": SIDE, "max_width": SIDE}
    processor = Kimi_K25Processor(
        image_processor=Kimi_K25ImageProcessor(size=square, max_patches=64),
        tokenizer=tokenizer,
        video_processor=Kimi_K25VideoProcessor(size=square),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, Kimi_K25ForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "kimi-k2.5": Family(
        build_kimi,
        "kimi_k25",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.mm_projector",
        end="<|im_end|>",
    )
}
