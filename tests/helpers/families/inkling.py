"""Inkling: attention by distance beside short convolutions, so that every layer carries a state."""

from pathlib import Path
from typing import Any

from transformers import (
    Inkling2Config,
    Inkling2ForConditionalGeneration,
    Inkling2ImageProcessor,
    Inkling2Processor,
    Inkling2TextConfig,
    Inkling2VisionConfig,
    InklingAudioConfig,
    InklingConfig,
    InklingFeatureExtractor,
    InklingForConditionalGeneration,
    InklingImageProcessor,
    InklingProcessor,
    InklingTextConfig,
    InklingVisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

IMAGE, AUDIO = "<|unused_200054|>", "<|unused_200053|>"
END = "<|end_message|>"
SPECIALS = [
    "<|endoftext|>",
    "<|pad|>",
    END,
    "<|message_system|>",
    "<|message_user|>",
    "<|message_assistant|>",
    "<|content_text|>",
    "<|content_image|>",
    "<|content_audio_input|>",
    IMAGE,
    AUDIO,
]
# an image is brought to a quarter of its size and cut into squares of this side
SIDE = 8
LAYERS: dict[str, Any] = {
    "num_hidden_layers": 3,
    "layer_types": ["hybrid_sliding", "hybrid_sliding", "hybrid"],
    "head_dim": 16,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 1,
    "swa_head_dim": 16,
    # shorter than any prompt, as is the distance over which the full layer tells places apart
    "sliding_window_size": 12,
    "rel_extent": 16,
    "d_rel": 4,
    "moe_intermediate_size": 32,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "route_scale": 2.0,
}

# the public template is not known here: turns made of parts, each with the mark of its kind
TEMPLATE = (
    "{% for message in messages %}<|message_{{ message['role'] }}|>"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|content_image|>" + IMAGE + "{% else %}<|content_text|>{{ part['text'] }}"
    "{% endif %}"
    "{% endfor %}" + END + "{% endfor %}"
    "{% if add_generation_prompt %}<|message_assistant|><|content_text|>{% endif %}"
)


def inkling_tokenizer() -> Any:
    """A tokenizer with the marks of turns and of what they hold."""
    return build_tokenizer(SPECIALS, eos=END, pad="<|pad|>", bos="<|endoftext|>")


def padded_ids(tokenizer: Any) -> dict[str, int]:
    """As many rows as divide by 64, of which the last stand for nothing."""
    ids = token_ids(tokenizer)
    return ids | {"vocab_size": -(-len(tokenizer) // 64) * 64, "unpadded_vocab_size": len(tokenizer)}


def build_inkling(folder: Path) -> None:
    """Squares of an image folded up step by step; two shared experts compete with the chosen two."""
    tokenizer = inkling_tokenizer()
    decoder = {name: size for name, size in DECODER.items() if name != "num_hidden_layers"}
    config = InklingConfig(
        text_config=InklingTextConfig(
            **decoder,
            **padded_ids(tokenizer),
            **LAYERS,
            mlp_layer_types=["dense", "sparse", "sparse"],
            n_shared_experts=2,
            # attention is sharpened beyond so many tokens, which count padding; the real one's are more than any row's
            log_scaling_n_floor=1024,
            logits_mup_width_multiplier=2.0,
        ),
        vision_config=InklingVisionConfig(patch_size=SIDE, num_hidden_layers=4),
        audio_config=InklingAudioConfig(n_mel_bins=8, mel_vocab_size=16),
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        audio_token_id=tokenizer.convert_tokens_to_ids(AUDIO),
        image_bos_token_id=tokenizer.convert_tokens_to_ids("<|content_image|>"),
        audio_bos_token_id=tokenizer.convert_tokens_to_ids("<|content_audio_input|>"),
    )
    processor = InklingProcessor(
        feature_extractor=InklingFeatureExtractor(feature_size=8),
        image_processor=InklingImageProcessor(size={"height": SIDE, "width": SIDE}, rescale_image_frac=0.25),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, InklingForConditionalGeneration, config, processor, END)


def build_inkling2(folder: Path) -> None:
    """A vision transformer; each layer draws on sums of blocks before it, and logits are capped."""
    tokenizer = inkling_tokenizer()
    decoder = {name: size for name, size in DECODER.items() if name not in ("num_hidden_layers", "intermediate_size")}
    config = Inkling2Config(
        text_config=Inkling2TextConfig(
            **decoder, **padded_ids(tokenizer), **LAYERS, n_layers_per_attn_res_block=2, log_scaling_n_floor=16
        ),
        vision_config=Inkling2VisionConfig(
            **TOWER,
            patch_size=14,
            posemb_grid_size=4,
            projection_hidden_dim=WIDTH,
            text_hidden_size=WIDTH,
        ),
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
    )
    processor = Inkling2Processor(
        image_processor=Inkling2ImageProcessor(size={"height": 28, "width": 28}),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, Inkling2ForConditionalGeneration, config, processor, END)


FAMILIES = {
    name: Family(
        build,
        model_type,
        decoder="model.language_model",
        tower="model.vision_tower",
        end=END,
    )
    for name, model_type, build in (
        ("inkling", "inkling_mm_model", build_inkling),
        ("inkling-2", "inkling2", build_inkling2),
    )
}
