"""Nemotron 3 Omni: layers with a state, experts, attention and plain ones behind a tower of any size."""

from pathlib import Path

from transformers import NemotronH_Omni_Reasoning_V3 as NemotronHOmni
from transformers import NemotronH_Omni_Reasoning_V3_Config as NemotronHOmniConfig
from transformers import NemotronH_Omni_Reasoning_V3ImageProcessor as NemotronHOmniImageProcessor
from transformers import NemotronH_Omni_Reasoning_V3Processor as NemotronHOmniProcessor
from transformers import NemotronH_Omni_Reasoning_V3VideoProcessor as NemotronHOmniVideoProcessor
from transformers import NemotronHConfig, ParakeetFeatureExtractor, RadioConfig

from tests.helpers.families.family import (
    HEADS,
    KEY_HEADS,
    TOWER_HEADS,
    TOWER_WIDTH,
    WIDTH,
    Family,
    token_ids,
    write_checkpoint,
)
from tests.helpers.families.tokens import build_tokenizer

PATCH = 14
SPECIALS = [
    "<unk>",
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<image>",
    "<video>",
    "<img>",
    "</img>",
    "<so_start>",
    "<so_embedding>",
    "<so_end>",
    "<think>",
    "</think>",
]
# an answer begins with its thoughts, none where they are not wanted
TEMPLATE = (
    "{% set thinks = enable_thinking is not defined or enable_thinking %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}<think></think>{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' + ('<think>\n' if thinks else '<think></think>') }}"
    "{% endif %}"
)


def build_nemotron_omni(folder: Path) -> None:
    """C-RADIO, and one layer of each of NemotronH's four types: Mamba 2, experts, attention and an MLP."""
    tokenizer = build_tokenizer(SPECIALS, bos="<s>", eos="<|im_end|>", pad="<unk>", image_token="<image>")
    config = NemotronHOmniConfig(
        vision_config=RadioConfig(
            hidden_size=TOWER_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=TOWER_HEADS,
            mlp_ratio=2.0,
            patch_size=PATCH,
            image_size=4 * PATCH,
            max_img_size=8 * PATCH,
            num_registers=1,
            num_cls_tokens=1,
            video_temporal_patch_size=2,
        ),
        text_config=NemotronHConfig(
            **token_ids(tokenizer),
            hidden_size=WIDTH,
            # attention first: what the others write is larger by far
            layers_block_type=["full_attention", "linear_attention", "moe", "mlp"],
            num_attention_heads=HEADS,
            num_key_value_heads=KEY_HEADS,
            head_dim=16,
            max_position_embeddings=1024,
            intermediate_size=2 * WIDTH,
            ssm_state_size=16,
            mamba_num_heads=4,
            mamba_head_dim=16,
            n_groups=2,
            # shorter than any prompt
            chunk_size=16,
            # transformers clamps to it in a forward of several tokens only, not in a step of generation
            time_step_min=1e-9,
            n_routed_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=WIDTH,
            moe_shared_expert_intermediate_size=WIDTH,
        ),
        projector_hidden_size=WIDTH,
        vision_hidden_size=TOWER_WIDTH,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<video>"),
    )
    processor = NemotronHOmniProcessor(
        image_processor=NemotronHOmniImageProcessor(patch_size=PATCH, min_num_patches=16, max_num_patches=32),
        video_processor=NemotronHOmniVideoProcessor(patch_size=PATCH, video_target_num_patches=16),
        tokenizer=tokenizer,
        feature_extractor=ParakeetFeatureExtractor(),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, NemotronHOmni, config, processor, "<|im_end|>")


FAMILIES = {
    "nemotron-omni": Family(
        build_nemotron_omni,
        "nemotron_h_omni",
        decoder="language_model",
        tower="vision_model",
        projector="multi_modal_projector",
        end="<|im_end|>",
    )
}
