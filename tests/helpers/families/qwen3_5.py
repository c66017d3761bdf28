"""Qwen3.5, dense and with experts: layers of linear attention, and a chat template that thinks."""

from pathlib import Path
from typing import Any

from transformers import (
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3_5MoeConfig,
    Qwen3_5MoeForConditionalGeneration,
)

from tests.helpers.families.family import DECODER, Family, token_ids, write_checkpoint
from tests.helpers.families.qwen import PARTS, SPECIALS, named_tokens
from tests.helpers.families.qwen3_vl import build_processor, vision_tower
from tests.helpers.families.tokens import build_tokenizer

# the assistant's turn begins with its thoughts, which are left out of all turns before the last question; the
# generation prompt opens them, or holds an empty block where `enable_thinking` is false
TEMPLATE = (
    "{% set asked = namespace(last=-1) %}"
    "{% for message in messages if message['role'] == 'user' %}{% set asked.last = loop.index0 %}{% endfor %}"
    "{% set seen = namespace(users=0) %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% if message['role'] == 'user' %}{% set seen.users = seen.users + 1 %}{% endif %}"
    "{% if message['role'] == 'assistant' and seen.users == asked.last + 1 %}"
    "{{ '<think>\n' + (message['reasoning_content'] or '') + '\n</think>\n\n' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}"
    "{% else %}{{ '<think>\n' }}{% endif %}{% endif %}"
)
# a quarter of each head's numbers turn with the position
ROPE = {
    "rope_type": "default",
    "rope_theta": 1e7,
    "partial_rotary_factor": 0.25,
    "mrope_section": [2, 1, 1],
    "mrope_interleaved": True,
}
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}


def thinking_tokenizer() -> Any:
    """Qwen's tokenizer with the marks around thoughts, which are no special tokens: decoding keeps them."""
    tokenizer = build_tokenizer(SPECIALS, eos="<|im_end|>", pad="<|endoftext|>")
    tokenizer.add_tokens(["<think>", "</think>"])
    return tokenizer


def _build(folder: Path, configuration: type[Any], kind: type[Any], tied: bool, **decoder: Any) -> None:
    tokenizer = thinking_tokenizer()
    config = configuration(
        vision_config=vision_tower(2),
        text_config={
            **DECODER,
            **token_ids(tokenizer),
            **LINEAR,
            "num_hidden_layers": 3,
            "layer_types": ["linear_attention", "linear_attention", "full_attention"],
            "head_dim": 32,
            "rope_parameters": ROPE,
            "tie_word_embeddings": tied,
            **decoder,
        },
        tie_word_embeddings=tied,
        **named_tokens(tokenizer),
    )
    processor = build_processor(tokenizer, TEMPLATE)
    write_checkpoint(folder, kind, config, processor, "<|im_end|>", stops=["<|endoftext|>"])


def build_qwen3_5(folder: Path) -> None:
    """Two layers with a state (gated delta rule and a short convolution) and one with gated attention; a tied head."""
    _build(folder, Qwen3_5Config, Qwen3_5ForConditionalGeneration, tied=True)


def build_qwen3_5_moe(folder: Path) -> None:
    """The same with four experts a layer and one that all tokens share; a head of its own."""
    experts = {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    }
    _build(folder, Qwen3_5MoeConfig, Qwen3_5MoeForConditionalGeneration, tied=False, **experts)


THINKING_PARTS: dict[str, Any] = {**PARTS, "thoughts": "<think>\n\n</think>\n\n"}
FAMILIES = {
    "qwen3.5": Family(build_qwen3_5, "qwen3_5", **THINKING_PARTS),
    "qwen3.5-moe": Family(build_qwen3_5_moe, "qwen3_5_moe", **THINKING_PARTS),
}
