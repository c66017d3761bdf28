"""Dots 3 Note: each token attends to a few chosen ones or to a window, and experts work in the tower, too."""

from pathlib import Path

from transformers import (
    Dots3NoteAudioConfig,
    Dots3NoteConfig,
    Dots3NoteFeatureExtractor,
    Dots3NoteForConditionalGeneration,
    Dots3NoteProcessor,
    Dots3NoteTextConfig,
    Dots3NoteVisionConfig,
    Qwen2VLImageProcessor,
    Qwen3VLVideoProcessor,
)

from tests.helpers.families.family import DECODER, TOWER, TOWER_WIDTH, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

END = "<|endofassistant|>"
SPECIALS = [
    "<|endoftext|>",
    "[PAD]",
    "<|system|>",
    "<|endofsystem|>",
    "<|user|>",
    "<|endofuser|>",
    "<|assistant|>",
    END,
    "<|img|>",
    "<|imgpad|>",
    "<|endofimg|>",
    "<|video_pad|>",
    "<|audio_comp_pad|>",
]
# one token stands for so many pixels on a side: two patches of 14
MERGED = 28
PIXELS = {"shortest_edge": 4 * MERGED**2, "longest_edge": 16 * MERGED**2}

# the turns of the other models of its makers; an end for each role
TEMPLATE = (
    "{% set ends = {'system': '<|endofsystem|>', 'user': '<|endofuser|>', 'assistant': '" + END + "'} %}"
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|img|><|imgpad|><|endofimg|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ ends[message['role']] }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_dots(folder: Path) -> None:
    """Latent attention; the window's layers have heads of other widths, and two of four experts for each token."""
    tokenizer = build_tokenizer(SPECIALS, bos="<|endoftext|>", eos=END, pad="[PAD]")
    latent = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "v_head_dim": 16}
    config = Dots3NoteConfig(
        text_config=Dots3NoteTextConfig(
            **DECODER | {"num_hidden_layers": 3, "num_key_value_heads": 4},
            **token_ids(tokenizer),
            **latent,
            qk_rope_head_dim=8,
            head_dim=24,
            layer_types=["indexed_attention", "sliding_attention", "indexed_attention"],
            mlp_layer_types=["dense", "sparse", "sparse"],
            moe_intermediate_size=32,
            shared_experts_intermediate_size=32,
            n_routed_experts=4,
            num_experts_per_tok=2,
            # fewer than the tokens of any prompt; with so many heads no two tokens' scores are equal
            index_topk=8,
            index_head_dim=16,
            index_n_heads=16,
            sliding_window=12,
            per_layer_config={
                1: latent | {"num_attention_heads": 2, "num_key_value_heads": 2, "qk_rope_head_dim": 16, "head_dim": 32}
            },
        ),
        vision_config=Dots3NoteVisionConfig(
            **TOWER,
            moe_intermediate_size=32,
            mlp_layer_types=["dense", "sparse"],
            num_local_experts=4,
            num_experts_per_tok=2,
            adapter_in_dim=TOWER_WIDTH,
            adapter_out_dim=WIDTH,
        ),
        audio_config=Dots3NoteAudioConfig(
            **TOWER,
            feature_size=16,
            downsample_hidden_size=8,
            adapter_input_size=TOWER_WIDTH,
            adapter_out_dim=WIDTH,
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<|imgpad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio_comp_pad|>"),
    )
    processor = Dots3NoteProcessor(
        image_processor=Qwen2VLImageProcessor(size=PIXELS, temporal_patch_size=1),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(),
        feature_extractor=Dots3NoteFeatureExtractor(feature_size=16),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, Dots3NoteForConditionalGeneration, config, processor, END)


FAMILIES = {
    "dots-3-note": Family(
        build_dots,
        "dots3_note",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.vision_tower.merger",
        end=END,
    )
}
