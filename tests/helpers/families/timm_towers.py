"""Perception LM and FastVLM, whose towers are timm's."""

from pathlib import Path

from transformers import (
    CLIPImageProcessor,
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    LlamaConfig,
    LlavaProcessor,
    PerceptionLMConfig,
    PerceptionLMForConditionalGeneration,
    PerceptionLMImageProcessor,
    PerceptionLMProcessor,
    PerceptionLMVideoProcessor,
    Qwen2Config,
    TimmWrapperConfig,
)

from tests.helpers.families.family import DECODER, TOWER_HEADS, TOWER_WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

TILE, PATCH, POOL = 56, 14, 2
# the tower of FastVLM leaves a token of 64 x 64 pixels
SIDE, STRIDE = 128, 64

LLAMA_3 = (
    "<|begin_of_text|>{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>{{ '\n\n' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}<|image|>{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] | trim }}{% endfor %}<|eot_id|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_perception(folder: Path) -> None:
    """Meta's Perception Encoder and Llama; the whole image and up to four tiles, each averaged two by two."""
    specials = [
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|pad|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "<|image|>",
        "<|video|>",
    ]
    tokenizer = build_tokenizer(
        specials,
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        pad="<|pad|>",
        begins=True,
        image_token="<|image|>",
        video_token="<|video|>",
    )
    config = PerceptionLMConfig(
        vision_config=TimmWrapperConfig(
            architecture="vit_pe_core_large_patch14_336",
            do_pooling=False,
            model_args={
                "depth": 2,
                "embed_dim": TOWER_WIDTH,
                "num_heads": TOWER_HEADS,
                "mlp_ratio": 2.0,
                "global_pool": "",
                "img_size": [TILE, TILE],
                "init_values": 0.1,
                "ref_feat_shape": [TILE // PATCH, TILE // PATCH],
                "use_post_transformer_norm": False,
            },
        ),
        text_config=LlamaConfig(**DECODER, **token_ids(tokenizer)),
        projector_pooling_ratio=POOL,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
    )
    size = {"height": TILE, "width": TILE}
    processor = PerceptionLMProcessor(
        video_processor=PerceptionLMVideoProcessor(size=size),
        image_processor=PerceptionLMImageProcessor(size=size, tile_size=TILE, max_num_tiles=4),
        tokenizer=tokenizer,
        patch_size=PATCH,
        pooling_ratio=POOL,
        chat_template=LLAMA_3,
    )
    write_checkpoint(folder, PerceptionLMForConditionalGeneration, config, processor, "<|eot_id|>")


def build_fast_vlm(folder: Path) -> None:
    """Convolutions, then attention, and Qwen2; one token for 64 x 64 pixels."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]
    tokenizer = build_tokenizer(specials, eos="<|im_end|>", pad="<|endoftext|>")
    config = FastVlmConfig(
        vision_config=TimmWrapperConfig(
            architecture="fastvit_mci3",
            do_pooling=True,
            model_args={
                "inference_mode": True,
                "layers": [1, 1, 1, 1, 1],
                "embed_dims": [32, 32, 32, 32, 32],
                "mlp_ratios": [2, 2, 2, 2, 2],
            },
            hidden_size=64,
        ),
        text_config=Qwen2Config(**DECODER, **token_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(SIDE // STRIDE) ** 2,
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, do_normalize=False
        ),
        tokenizer=tokenizer,
        patch_size=STRIDE,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=CHATML,
    )
    write_checkpoint(folder, FastVlmForConditionalGeneration, config, processor, "<|im_end|>")
    model = FastVlmForConditionalGeneration.from_pretrained(folder)
    for parameter in model.model.vision_tower.parameters():
        if parameter.ndim == 4:
            # kernels of so few weights leave nothing of the image, one after another
            parameter.data *= 2.0
    model.save_pretrained(folder)


FAMILIES = {
    "fast-vlm": Family(
        build_fast_vlm,
        "fast_vlm",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<|im_end|>",
    ),
    "perception-lm": Family(
        build_perception,
        "perception_lm",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<|eot_id|>",
        one_image="the processor cannot join images that are cut into different numbers of tiles",
    ),
}
