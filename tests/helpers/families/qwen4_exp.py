"""Qwen4-Exp: several residual streams, embeddings of runs of tokens, and attention to chosen blocks."""

from pathlib import Path

from transformers import Qwen4ExpConfig, Qwen4ExpForConditionalGeneration

from tests.helpers.families.family import DECODER, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.qwen import named_tokens
from tests.helpers.families.qwen3_5 import LINEAR, ROPE, TEMPLATE, THINKING_PARTS, thinking_tokenizer
from tests.helpers.families.qwen3_vl import build_processor, vision_tower

EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
}
# pairs and triples of tokens, two hashes each
RUNS = {
    "ple_layer_ids": [1],
    "ple_embed_dim": WIDTH,
    "ngram_size": 3,
    "heads_per_ngram": 2,
    "ngram_vocab_size_base": 64,
    "make_ngram_vocab_size_divisible_by": 8,
    "split_ngram_parts": 2,
}
# four blocks of four tokens: fewer than in any prompt
CHOSEN = {
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 16,
    "indexer_budget": 16,
    "indexer_compress_ratio": 4,
}


def build_qwen4_exp(folder: Path) -> None:
    """Two layers of linear attention, embeddings of runs of tokens in the first, and one of attention to blocks."""
    tokenizer = thinking_tokenizer()
    config = Qwen4ExpConfig(
        vision_config=vision_tower(2),
        text_config={
            **DECODER,
            **token_ids(tokenizer),
            **LINEAR,
            **EXPERTS,
            **RUNS,
            **CHOSEN,
            "num_hidden_layers": 3,
            "layer_types": ["linear_attention", "linear_attention", "full_attention"],
            "head_dim": 32,
            "rope_parameters": ROPE,
            "hc_count": 2,
            "hc_lowrank": 8,
        },
        tie_word_embeddings=False,
        **named_tokens(tokenizer),
    )
    processor = build_processor(tokenizer, TEMPLATE)
    kind = Qwen4ExpForConditionalGeneration
    write_checkpoint(folder, kind, config, processor, "<|im_end|>", stops=["<|endoftext|>"])


FAMILIES = {"qwen4-exp": Family(build_qwen4_exp, "qwen4_exp", **THINKING_PARTS)}
