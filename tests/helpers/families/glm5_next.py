"""GLM-5.3-Flash (GLM5-Next): linear attention, attention to chosen groups of tokens, several residual streams."""

from pathlib import Path

from transformers import (
    Glm5NextConfig,
    Glm5NextForConditionalGeneration,
    Glm5NextImageProcessor,
    Glm5NextProcessor,
    Glm5NextVideoProcessor,
)

from tests.helpers.families.family import (
    DECODER,
    HEADS,
    TOWER_HEADS,
    TOWER_WIDTH,
    WIDTH,
    Family,
    token_ids,
    write_checkpoint,
)
from tests.helpers.families.glm4v import GLM_45V, glm_tokenizer, named_ids

ATTENTION = {
    "layer_types": ["linear_attention", "indexed_attention", "indexed_attention"],
    # the last layer reads the tokens that the one before has chosen
    "indexer_types": ["full", "full", "shared"],
    "num_key_value_heads": HEADS,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "index_head_dim": 16,
    "index_n_heads": 2,
    # four groups of four tokens: fewer than in any prompt
    "index_topk": 16,
    "index_kpool": 4,
    "linear_head_dim": 16,
    "linear_num_heads": 2,
    "hc_mult": 2,
}
EXPERTS = {
    "mlp_layer_types": ["dense", "sparse", "sparse"],
    "moe_intermediate_size": 32,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
}
SIZES = {"min_image_tokens": 4, "max_image_tokens": 16}


def build_glm5_next(folder: Path) -> None:
    """One layer of linear attention and two to chosen groups, the last of which shares the choice of the other."""
    tokenizer = glm_tokenizer()
    config = Glm5NextConfig(
        vision_config={
            "depth": 2,
            "hidden_size": TOWER_WIDTH,
            "intermediate_size": 2 * TOWER_WIDTH,
            "num_heads": TOWER_HEADS,
            "image_size": 112,
            "out_hidden_size": WIDTH,
            "projection_intermediate_size": 2 * TOWER_WIDTH,
        },
        text_config={**DECODER, **token_ids(tokenizer), "num_hidden_layers": 3, **ATTENTION, **EXPERTS},
        **named_ids(tokenizer),
    )
    processor = Glm5NextProcessor(
        image_processor=Glm5NextImageProcessor(**SIZES),
        tokenizer=tokenizer,
        video_processor=Glm5NextVideoProcessor(),
        chat_template=GLM_45V,
    )
    write_checkpoint(folder, Glm5NextForConditionalGeneration, config, processor, "<|user|>", stops=["<|observation|>"])


FAMILIES = {
    "glm-5.3-flash": Family(
        build_glm5_next,
        "glm5_next",
        decoder="model.language_model",
        tower="model.visual",
        projector="model.visual.merger",
        end="<|user|>",
        closes=False,
    )
}
